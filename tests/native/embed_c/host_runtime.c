/* host_runtime MODEL LIBRARY OTHER
 *
 * A host that has ONNX Runtime from LIBRARY itself and gives it to silverprint. A runtime from
 * another file, OTHER, is then refused; one that is not named is the host's. */
#include <dlfcn.h>
#include <silverprint.h>
#include <stdio.h>

static void load(const char *model, const silverprint_options *options) {
  silverprint_classifier *classifier = NULL;
  const silverprint_status status = silverprint_load_file(model, options, &classifier);
  printf("%d %s\n", (int)status, status ? silverprint_last_error() : "loaded");
  silverprint_free(classifier);
}

int main(int count, char **arguments) {
  if (count != 4) return 1;
  void *library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
  if (!library) return 1;
  const struct OrtApiBase *(*get_api_base)(void);
  *(void **)&get_api_base = dlsym(library, "OrtGetApiBase");
  if (!get_api_base) return 1;

  silverprint_options options = SILVERPRINT_OPTIONS_INIT;
  options.runtime_api = get_api_base();
  load(arguments[1], &options);

  silverprint_options other = SILVERPRINT_OPTIONS_INIT;
  other.runtime_path = arguments[3];
  load(arguments[1], &other);

  other.runtime_api = get_api_base();
  load(arguments[1], &other);

  load(arguments[1], NULL);
  return 0;
}
