#pragma once
#include <cstddef>

#include "runtime/abi.h"

// A stand-in for ONNX Runtime behind its C ABI, built with the sanitizers as the real library is
// not. A "model" is a text: the metadata entry of the graph. The graph takes an image of kHeight x
// kWidth and gives `targetProbability` [1, kClasses]: value i is i plus the image's first number.
// Every object it hands out lies on the heap, so that one never released is a leak.
namespace silverprint::sanitized {

inline constexpr std::size_t kHeight = 6, kWidth = 8, kClasses = 3;

// While on, runs do not end by themselves: run_options_set_terminate ends them, with an error.
void hold_runs(bool on);

// Runs under way.
int runs();

const ort::ApiBase* stand_in_runtime();

}  // namespace silverprint::sanitized
