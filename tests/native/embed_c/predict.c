/* predict MODEL PICTURES OUTPUT
 *
 * PICTURES holds pictures one after another: width, height and format as 32-bit numbers in the
 * machine's byte order, then the pixels without gaps. The label of each is printed, and its
 * probabilities are written to OUTPUT as raw floats. */
#include <silverprint.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(silverprint_status status) {
  fprintf(stderr, "%s\n", silverprint_last_error());
  return (int)status;
}

static int predict_all(const silverprint_classifier *classifier, FILE *in, FILE *out) {
  size_t labels = 0, best, i;
  silverprint_status status = silverprint_label_count(classifier, &labels);
  if (status) return fail(status);
  float *probabilities = malloc(labels * sizeof(float));
  uint32_t head[3];
  while (!status && probabilities && fread(head, sizeof(head), 1, in) == 1) {
    const size_t row = (size_t)head[0] * (head[2] == SILVERPRINT_RGB || head[2] == SILVERPRINT_BGR ? 3 : 4);
    uint8_t *data = malloc(row * head[1]);
    if (!data || fread(data, row, head[1], in) != head[1]) exit(EXIT_FAILURE);

    silverprint_pixels pixels = {data, head[0], head[1], (ptrdiff_t)row, (int32_t)head[2]};
    status = silverprint_predict(classifier, &pixels, probabilities, labels);
    free(data);
    if (status) break;

    const char *label = NULL;
    for (best = 0, i = 1; i < labels; ++i)
      if (probabilities[i] > probabilities[best]) best = i;
    silverprint_label(classifier, best, &label);
    printf("%s\n", label);
    fwrite(probabilities, sizeof(float), labels, out);
  }
  free(probabilities);
  return status ? fail(status) : EXIT_SUCCESS;
}

int main(int count, char **arguments) {
  if (count != 4) return EXIT_FAILURE;
  FILE *in = fopen(arguments[2], "rb"), *out = fopen(arguments[3], "wb");
  if (!in || !out) return EXIT_FAILURE;

  silverprint_classifier *classifier = NULL;
  silverprint_status status = silverprint_load_file(arguments[1], NULL, &classifier);
  if (status) return fail(status);
  const int result = predict_all(classifier, in, out);
  silverprint_free(classifier);
  fclose(out);
  fclose(in);
  return result;
}
