/* silverprint's C API: picture classifiers trained by silverprint, in other people's programs.
 *
 * C99 or C++. This header is the one stable boundary of the library: within one SOVERSION nothing
 * in it changes its meaning, and functions, constants and fields are only added.
 *
 * Errors: every function that can fail returns a silverprint_status. silverprint_last_error() is
 * the message, for the calling thread. No exception crosses this boundary and nothing aborts.
 *
 * Threads: a classifier is immutable. Every function may be called from many threads at once, also
 * on one classifier, except silverprint_free, which must be the last call on its classifier.
 *
 * Texts are UTF-8 and end with a zero byte. docs/embedding.md is the guide.
 */
#ifndef SILVERPRINT_H
#define SILVERPRINT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(SILVERPRINT_BUILDING)
#define SILVERPRINT_API __declspec(dllexport)
#elif defined(SILVERPRINT_STATIC)
#define SILVERPRINT_API
#else
#define SILVERPRINT_API __declspec(dllimport)
#endif
#else
#define SILVERPRINT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t silverprint_status;
enum {
  SILVERPRINT_OK = 0,
  SILVERPRINT_INVALID_ARGUMENT = 1, /* a value that was passed, or an environment variable */
  SILVERPRINT_CANNOT_READ = 2,      /* the model file is missing or cannot be read */
  SILVERPRINT_INVALID_MODEL = 3,    /* damaged, or not a classifier written by silverprint */
  SILVERPRINT_NEWER_FORMAT = 4,     /* written by a newer silverprint: upgrade this library */
  SILVERPRINT_RUNTIME = 5,          /* ONNX Runtime is missing, too old, another one, or failed */
  SILVERPRINT_FORKED = 6,           /* the process was forked after ONNX Runtime was loaded */
  SILVERPRINT_OUT_OF_MEMORY = 7,
  SILVERPRINT_INTERNAL = 8 /* a bug of silverprint */
};

/* What went wrong in the last call on this thread that did not return SILVERPRINT_OK; empty before
 * one did. Valid until the next call on this thread; never NULL. */
SILVERPRINT_API const char *silverprint_last_error(void);

/* The version of this library, such as "0.1.0". */
SILVERPRINT_API const char *silverprint_version(void);

/* The newest format of model files that this library reads. */
SILVERPRINT_API int32_t silverprint_format_version(void);

/* A model made ready to predict. */
typedef struct silverprint_classifier silverprint_classifier;

enum {
  SILVERPRINT_TELEMETRY_OFF = 0,    /* ONNX Runtime's telemetry is switched off before it starts */
  SILVERPRINT_TELEMETRY_DEFAULT = 1 /* left as ONNX Runtime or the host has it */
};

/* Begin with SILVERPRINT_OPTIONS_INIT and set what is wanted. `size` lets a later library tell
 * which fields its caller knows.
 *
 * One process runs one ONNX Runtime (1.19 or newer), chosen by the first load that succeeds:
 * runtime_api, else runtime_path, else the environment variable SILVERPRINT_RUNTIME, else
 * libonnxruntime beside the file that holds this library. A later load that names another one
 * fails; one that names none takes the one that runs. The telemetry choice counts at the first
 * load; OFF sets ORT_DISABLE_TELEMETRY=1 in the environment of the process. */
struct OrtApiBase;
typedef struct silverprint_options {
  size_t size;
  const struct OrtApiBase *runtime_api; /* the host's own OrtGetApiBase(), or NULL */
  const char *runtime_path;             /* the file of the shared library, or NULL */
  int32_t telemetry;                    /* SILVERPRINT_TELEMETRY_... */
  int32_t threads;                      /* for each prediction; 0 means 1 */
} silverprint_options;
#define SILVERPRINT_OPTIONS_INIT {sizeof(silverprint_options), NULL, NULL, SILVERPRINT_TELEMETRY_OFF, 0}

/* Loads the .onnx file at `path` that silverprint wrote. `options` may be NULL: all defaults.
 * On success *classifier is to be freed with silverprint_free; otherwise it is NULL. */
SILVERPRINT_API silverprint_status silverprint_load_file(const char *path, const silverprint_options *options,
                                                         silverprint_classifier **classifier);

/* The same from the bytes of such a file, which are not needed after the call. */
SILVERPRINT_API silverprint_status silverprint_load_memory(const void *data, size_t size,
                                                           const silverprint_options *options,
                                                           silverprint_classifier **classifier);

/* Frees a classifier; NULL does nothing. No other call on it may be under way or follow. */
SILVERPRINT_API void silverprint_free(silverprint_classifier *classifier);

/* The number of labels, which is the number of probabilities. */
SILVERPRINT_API silverprint_status silverprint_label_count(const silverprint_classifier *classifier, size_t *count);

/* The label of the probability at `index`. The text lives as long as the classifier. */
SILVERPRINT_API silverprint_status silverprint_label(const silverprint_classifier *classifier, size_t index,
                                                     const char **label);

/* How silverprint_predict brings a picture to the size of the graph's input. */
enum {
  SILVERPRINT_CENTER_CROP = 0, /* scaled until the shorter side covers, the middle kept */
  SILVERPRINT_SCALE_FILL = 1,  /* stretched */
  SILVERPRINT_SCALE_FIT = 2    /* the whole picture, centred, with black bars */
};

/* Width and height of the graph's input in pixels, and SILVERPRINT_CENTER_CROP, ...; each pointer
 * may be NULL. */
SILVERPRINT_API silverprint_status silverprint_input(const silverprint_classifier *classifier, size_t *width,
                                                     size_t *height, int32_t *crop_and_scale);

enum {
  SILVERPRINT_RGB = 0,  /* 3 bytes a pixel */
  SILVERPRINT_BGR = 1,  /* 3 */
  SILVERPRINT_RGBA = 2, /* 4; alpha is ignored, as is right for premultiplied pixels */
  SILVERPRINT_BGRA = 3  /* 4; the same */
};

/* An upright sRGB picture in the caller's memory: `data` is its top left pixel, and a row begins
 * `row_stride` bytes after the one above it (negative for pictures stored bottom up). */
typedef struct silverprint_pixels {
  const uint8_t *data;
  size_t width, height; /* 1 to 1,000,000 each */
  ptrdiff_t row_stride; /* at least a row, either way */
  int32_t format;       /* SILVERPRINT_RGB, ... */
} silverprint_pixels;

/* The probability of each label, in their order, into `probabilities`, which has room for `count`
 * floats. The same bytes as Python's ImageClassifier.probabilities for the same pixels. */
SILVERPRINT_API silverprint_status silverprint_predict(const silverprint_classifier *classifier,
                                                       const silverprint_pixels *pixels, float *probabilities,
                                                       size_t count);

/* The same from a ready tensor: `image` holds 3 x height x width floats, planes of red, green and
 * blue with levels 0 to 255; `image_size` is their number. */
SILVERPRINT_API silverprint_status silverprint_predict_tensor(const silverprint_classifier *classifier,
                                                              const float *image, size_t image_size,
                                                              float *probabilities, size_t count);

#ifdef __cplusplus
}
#endif

#endif
