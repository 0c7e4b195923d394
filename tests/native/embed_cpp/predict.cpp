// predict MODEL RUNTIME PICTURES OUTPUT THREADS
//
// As the C program, with the runtime by its path and one classifier for all threads.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <silverprint.hpp>
#include <string>
#include <thread>
#include <vector>

struct Picture {
  std::uint32_t width, height, format;
  std::vector<std::uint8_t> data;

  silverprint_pixels pixels() const {
    return silverprint::packed(data.data(), width, height, static_cast<silverprint::Format>(format));
  }
};

std::vector<Picture> read_pictures(const char* path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<Picture> pictures;
  for (std::uint32_t head[3]; in.read(reinterpret_cast<char*>(head), sizeof(head));) {
    Picture picture{head[0], head[1], head[2], {}};
    picture.data.resize(static_cast<std::size_t>(picture.pixels().row_stride) * picture.height);
    in.read(reinterpret_cast<char*>(picture.data.data()), static_cast<std::streamsize>(picture.data.size()));
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

int main(int count, char** arguments) try {
  if (count != 6) return 1;
  silverprint::Options options;
  options.runtime_path = arguments[2];
  const silverprint::Classifier classifier(arguments[1], options);
  const std::vector<Picture> pictures = read_pictures(arguments[3]);

  const std::size_t labels = classifier.labels().size();
  std::vector<float> rows(pictures.size() * labels);
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < std::stoi(arguments[5]); ++i)
    threads.emplace_back([&] {
      for (std::size_t p; (p = next++) < pictures.size();)
        classifier.probabilities(pictures[p].pixels(), &rows[p * labels], labels);
    });
  for (std::thread& thread : threads) thread.join();

  for (const Picture& picture : pictures) std::cout << classifier.prediction(picture.pixels()) << "\n";
  std::ofstream out(arguments[4], std::ios::binary);
  out.write(reinterpret_cast<const char*>(rows.data()), static_cast<std::streamsize>(rows.size() * sizeof(float)));
  return 0;
} catch (const silverprint::Error& error) {
  std::cerr << error.what() << "\n";
  return error.status();
}
