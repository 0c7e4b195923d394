// The C API: every function, damaged records, wrong arguments, and one classifier on many threads.
#include <cstring>
#include <string>
#include <thread>

#include "check.h"
#include "include/silverprint.h"
#include "stand_in_runtime.h"

namespace silverprint::sanitized {
namespace {

const std::string kRecord =
    R"({"format_version": 1, "kind": "classifier", "labels": ["a", "bl\u00fc", "c"],)"
    R"( "picture_rule": {"version": 1, "height": 6, "width": 8, "crop_and_scale": "scale_fill"},)"
    R"( "temperature": NaN, "metrics": [1.5, -2, 1e300, null, true]})";

silverprint_options options() {
  silverprint_options chosen = SILVERPRINT_OPTIONS_INIT;
  chosen.runtime_api = reinterpret_cast<const OrtApiBase*>(stand_in_runtime());
  return chosen;
}

silverprint_classifier* load(const std::string& record) {
  // A buffer without the closing zero of a string.
  const std::vector<char> bytes(record.begin(), record.end());
  const silverprint_options chosen = options();
  silverprint_classifier* classifier = nullptr;
  const silverprint_status status = silverprint_load_memory(bytes.data(), bytes.size(), &chosen, &classifier);
  CHECK((status == SILVERPRINT_OK) == (classifier != nullptr));
  CHECK(status == SILVERPRINT_OK || std::strlen(silverprint_last_error()) > 0);
  return classifier;
}

void check_predictions(const silverprint_classifier* classifier, std::uint8_t level) {
  for (std::int32_t format = SILVERPRINT_RGB; format <= SILVERPRINT_BGRA; ++format) {
    const std::size_t row = 5 * (format < SILVERPRINT_RGBA ? 3 : 4);
    const std::vector<std::uint8_t> levels(7 * row, level);
    std::vector<float> p(kClasses);
    silverprint_pixels pixels{levels.data(), 5, 7, static_cast<std::ptrdiff_t>(row), format};
    CHECK(silverprint_predict(classifier, &pixels, p.data(), p.size()) == SILVERPRINT_OK);
    for (std::size_t i = 0; i < kClasses; ++i) CHECK(p[i] == static_cast<float>(level + i));
    pixels.data += 6 * row;
    pixels.row_stride *= -1;
    CHECK(silverprint_predict(classifier, &pixels, p.data(), p.size()) == SILVERPRINT_OK);
    const std::vector<float> image(3 * kHeight * kWidth, level);
    CHECK(silverprint_predict_tensor(classifier, image.data(), image.size(), p.data(), p.size()) == SILVERPRINT_OK);
    CHECK(p[0] == static_cast<float>(level));
  }
}

void check_wrong_arguments(const silverprint_classifier* classifier) {
  std::vector<float> p(kClasses), image(3 * kHeight * kWidth);
  const std::vector<std::uint8_t> levels(3 * 4);
  const silverprint_pixels good{levels.data(), 2, 2, 6, SILVERPRINT_RGB};
  const auto refused = [](silverprint_status status) {
    CHECK(status == SILVERPRINT_INVALID_ARGUMENT);
    CHECK(std::strlen(silverprint_last_error()) > 0);
  };
  refused(silverprint_predict(nullptr, &good, p.data(), p.size()));
  refused(silverprint_predict(classifier, nullptr, p.data(), p.size()));
  refused(silverprint_predict(classifier, &good, nullptr, p.size()));
  refused(silverprint_predict(classifier, &good, p.data(), p.size() - 1));
  refused(silverprint_predict_tensor(classifier, image.data(), image.size() - 1, p.data(), p.size()));
  for (silverprint_pixels bad : {silverprint_pixels{nullptr, 2, 2, 6, 0}, {levels.data(), 0, 2, 6, 0},
                                 {levels.data(), 2, 2'000'000, 6, 0}, {levels.data(), 2, 2, 5, 0},
                                 {levels.data(), 2, 2, -5, 0}, {levels.data(), 2, 2, 6, 4}})
    refused(silverprint_predict(classifier, &bad, p.data(), p.size()));
  const char* label = nullptr;
  refused(silverprint_label(classifier, kClasses, &label));
  refused(silverprint_label_count(classifier, nullptr));
  refused(silverprint_load_memory(nullptr, 1, nullptr, nullptr));
  silverprint_classifier* none = nullptr;
  CHECK(silverprint_load_file("/no/such/file.onnx", nullptr, &none) == SILVERPRINT_CANNOT_READ);
  CHECK(none == nullptr);
}

// Records cut short, and with bytes altered: each loads or is refused, and nothing else happens.
void check_damaged_records() {
  CHECK(load("") == nullptr);
  for (std::size_t size = 1; size < kRecord.size(); ++size) CHECK(load(kRecord.substr(0, size)) == nullptr);
  SplitMix64 random(4);
  for (int round = 0; round < 3000; ++round) {
    std::string record = kRecord;
    for (std::size_t changes = between(random, 1, 4); changes > 0; --changes)
      record[between(random, 0, record.size() - 1)] = static_cast<char>(random.next());
    silverprint_free(load(record));
  }
  CHECK(load(std::string(100'000, '[')) == nullptr);
}

}  // namespace
}  // namespace silverprint::sanitized

int main() {
  using namespace silverprint::sanitized;
  CHECK(std::strlen(silverprint_version()) > 0 && silverprint_format_version() >= 1);
  silverprint_classifier* classifier = load(kRecord);
  CHECK(classifier);
  std::size_t count = 0, width = 0, height = 0;
  std::int32_t mode = 0;
  CHECK(silverprint_label_count(classifier, &count) == SILVERPRINT_OK && count == kClasses);
  const char* label = nullptr;
  CHECK(silverprint_label(classifier, 1, &label) == SILVERPRINT_OK && std::strcmp(label, "bl\xc3\xbc") == 0);
  CHECK(silverprint_input(classifier, &width, &height, &mode) == SILVERPRINT_OK);
  CHECK(width == kWidth && height == kHeight && mode == SILVERPRINT_SCALE_FILL);

  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([classifier, i] {
      for (int round = 0; round < 40; ++round) {
        check_predictions(classifier, static_cast<std::uint8_t>(20 * i));
        if (round % 10 == 0) check_wrong_arguments(classifier);
      }
    });
  for (auto& thread : threads) thread.join();
  check_damaged_records();
  silverprint_free(classifier);
  silverprint_free(nullptr);
  std::puts("c_api: well");
}
