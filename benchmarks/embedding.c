/* embedding MODEL RUNTIME PICTURES OUTPUT ROUNDS
 *
 * One thread; every round asks about all pictures three ways, one after the other, so that each
 * has its own weights in the caches: silverprint_predict on the pixels, silverprint_predict_tensor
 * on the prepared tensors, and ONNX Runtime itself on the same tensors, with its input and output
 * values made once. Prints the seconds of each way, a line a round, and writes the probabilities
 * of the first way to OUTPUT.
 *
 * PICTURES holds pictures one after another: width and height as 32-bit numbers, RGB pixels, and
 * the image tensor as floats. */
#define _POSIX_C_SOURCE 199309L
#include <dlfcn.h>
#include <silverprint.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
  silverprint_pixels pixels;
  float *image;
} picture;

/* ONNX Runtime's function table by index (its C ABI is append-only). */
typedef const void *const *table;
struct OrtApiBase {
  table (*get_api)(uint32_t);
  const char *(*get_version)(void);
};
#define ORT(index, ...) ((void *(*)(__VA_ARGS__))(uintptr_t)ort[index])

static void need(int good, const char *what) {
  if (good) return;
  fprintf(stderr, "%s %s\n", what, silverprint_last_error());
  exit(EXIT_FAILURE);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void *load(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  need(file != NULL, path);
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *data = malloc(*size);
  need(data && fread(data, 1, *size, file) == *size, path);
  fclose(file);
  return data;
}

static picture *split(uint8_t *data, size_t size, size_t values, size_t *count) {
  picture *list = NULL;
  *count = 0;
  for (uint8_t *at = data; at < data + size; ++*count) {
    uint32_t head[2];
    memcpy(head, at, sizeof(head));
    at += sizeof(head);
    if ((*count & (*count - 1)) == 0) list = realloc(list, (*count ? 2 * *count : 1) * sizeof(picture));
    picture *last = &list[*count];
    last->pixels = (silverprint_pixels){at, head[0], head[1], 3 * (ptrdiff_t)head[0], SILVERPRINT_RGB};
    at += (size_t)3 * head[0] * head[1];
    last->image = malloc(values * sizeof(float));
    memcpy(last->image, at, values * sizeof(float));
    at += values * sizeof(float);
  }
  return list;
}

int main(int argument_count, char **arguments) {
  need(argument_count == 6, "embedding MODEL RUNTIME PICTURES OUTPUT ROUNDS");
  void *library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
  need(library != NULL, arguments[2]);
  const struct OrtApiBase *(*get_api_base)(void);
  *(void **)&get_api_base = dlsym(library, "OrtGetApiBase");
  const table ort = get_api_base()->get_api(19);

  silverprint_options options = SILVERPRINT_OPTIONS_INIT;
  options.runtime_api = get_api_base();
  silverprint_classifier *classifier;
  need(!silverprint_load_file(arguments[1], &options, &classifier), arguments[1]);
  size_t labels, width, height, model_size, size, count;
  need(!silverprint_label_count(classifier, &labels), "labels");
  need(!silverprint_input(classifier, &width, &height, NULL), "input");
  const size_t values = 3 * width * height;
  uint8_t *data = load(arguments[3], &size);
  picture *pictures = split(data, size, values, &count);
  float *ours = malloc(count * labels * sizeof(float));
  float *tensor = malloc(count * labels * sizeof(float));
  float *bare = malloc(count * labels * sizeof(float));

  void *env, *session_options, *session, *memory;
  void *model = load(arguments[1], &model_size);
  need(!ORT(3, int, const char *, void **)(3, "bare", &env), "env");
  need(!ORT(10, void **)(&session_options), "options");
  need(!ORT(24, void *, int)(session_options, 1), "threads");
  need(!ORT(25, void *, int)(session_options, 1), "threads");
  need(!ORT(23, void *, int)(session_options, 99), "optimisation");
  need(!ORT(8, void *, const void *, size_t, void *, void **)(env, model, model_size, session_options, &session),
       "session");
  need(!ORT(69, int, int, void **)(1, 0, &memory), "memory");
  const int64_t in_shape[] = {1, 3, (int64_t)height, (int64_t)width}, out_shape[] = {1, (int64_t)labels};
  const char *in_name = "image", *out_name = "targetProbability";
  void **in = malloc(count * sizeof(void *)), **out = malloc(count * sizeof(void *));
  for (size_t i = 0; i < count; ++i) {
    need(!ORT(49, void *, void *, size_t, const int64_t *, size_t, int, void **)(
             memory, pictures[i].image, values * sizeof(float), in_shape, 4, 1, &in[i]),
         "input");
    need(!ORT(49, void *, void *, size_t, const int64_t *, size_t, int, void **)(
             memory, bare + i * labels, labels * sizeof(float), out_shape, 2, 1, &out[i]),
         "output");
  }

  for (int round = 0; round < atoi(arguments[5]); ++round) {
    double seconds[3];
    for (size_t turn = 0; turn < 3; ++turn) {
      const size_t way = (turn + (size_t)round) % 3;
      const double begin = now();
      for (size_t i = 0; i < count; ++i)
        if (way == 0)
          need(!silverprint_predict(classifier, &pictures[i].pixels, ours + i * labels, labels), "predict");
        else if (way == 1)
          need(!silverprint_predict_tensor(classifier, pictures[i].image, values, tensor + i * labels, labels),
               "tensor");
        else
          need(!ORT(9, void *, void *, const char **, void **, size_t, const char **, size_t, void **)(
                   session, NULL, &in_name, &in[i], 1, &out_name, 1, &out[i]),
               "run");
      seconds[way] = now() - begin;
    }
    printf("%.6f %.6f %.6f\n", seconds[0], seconds[1], seconds[2]);
  }
  const size_t bytes = count * labels * sizeof(float);
  need(!memcmp(ours, tensor, bytes) && !memcmp(ours, bare, bytes), "the three ways differ");
  FILE *file = fopen(arguments[4], "wb");
  need(file && fwrite(ours, 1, bytes, file) == bytes && !fclose(file), arguments[4]);
  return EXIT_SUCCESS;
}
