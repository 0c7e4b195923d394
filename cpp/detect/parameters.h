#pragma once
#include <cstddef>
#include <functional>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace silverprint {

// A named array within a flat vector, row-major.
struct Parameter {
  std::string name;
  std::vector<std::size_t> shape;
  std::size_t offset;
  bool decays;  // under weight decay: kernels do, what scales and shifts does not

  std::size_t size() const {
    return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<std::size_t>());
  }
};

// The arrays of a flat vector, in order.
class ParameterList {
 public:
  // Returns the offset.
  std::size_t add(std::string name, std::vector<std::size_t> shape, bool decays = false) {
    all_.push_back({std::move(name), std::move(shape), size_, decays});
    size_ += all_.back().size();
    return all_.back().offset;
  }

  const std::vector<Parameter>& all() const noexcept { return all_; }
  std::size_t size() const noexcept { return size_; }

 private:
  std::vector<Parameter> all_;
  std::size_t size_ = 0;
};

}  // namespace silverprint
