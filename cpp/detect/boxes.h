#pragma once
#include <algorithm>

namespace silverprint {

// A box by its edges, x0 <= x1 and y0 <= y1, y downwards. Everything is computed in double.
template <class T>
struct BoxOf {
  T x0, y0, x1, y1;
};
using Box = BoxOf<float>;
using ExactBox = BoxOf<double>;

template <class T>
double area(const BoxOf<T>& box) {
  return (static_cast<double>(box.x1) - box.x0) * (static_cast<double>(box.y1) - box.y0);
}

template <class T>
double intersection(const BoxOf<T>& a, const BoxOf<T>& b) {
  const double width = static_cast<double>(std::min(a.x1, b.x1)) - std::max(a.x0, b.x0);
  const double height = static_cast<double>(std::min(a.y1, b.y1)) - std::max(a.y0, b.y0);
  return width > 0 && height > 0 ? width * height : 0;
}

// Intersection over union; 0 where both are empty.
template <class T>
double iou(const BoxOf<T>& a, const BoxOf<T>& b) {
  const double shared = intersection(a, b), whole = area(a) + area(b) - shared;
  return whole > 0 ? shared / whole : 0;
}

struct Giou {
  double value;
  double x0, y0, x1, y1;  // its derivatives by the edges of the first box
};

// Generalised IoU (Rezatofighi et al., CVPR 2019): IoU - (hull - union) / hull, from -1 to 1. Where
// edges coincide, the derivative is the one from the side on which the first box is the smaller.
template <class T>
Giou giou(const BoxOf<T>& a, const BoxOf<T>& b) {
  const double shared = intersection(a, b), whole = area(a) + area(b) - shared;
  const double hull_width = static_cast<double>(std::max(a.x1, b.x1)) - std::min(a.x0, b.x0);
  const double hull_height = static_cast<double>(std::max(a.y1, b.y1)) - std::min(a.y0, b.y0);
  const double hull = hull_width * hull_height;
  if (!(whole > 0)) return {hull > 0 ? -1.0 : 0.0, 0, 0, 0, 0};

  const double width = static_cast<double>(a.x1) - a.x0, height = static_cast<double>(a.y1) - a.y0;
  const double shared_width = shared > 0 ? static_cast<double>(std::min(a.x1, b.x1)) - std::max(a.x0, b.x0) : 0;
  const double shared_height = shared > 0 ? static_cast<double>(std::min(a.y1, b.y1)) - std::max(a.y0, b.y0) : 0;
  // One edge moving outwards: how the area, the shared part and the hull grow.
  const auto derivative = [&](double area_grows, bool inside, double shared_grows, bool outside, double hull_grows) {
    const double shared_by = inside ? shared_grows : 0, whole_by = area_grows - shared_by;
    const double hull_by = outside ? hull_grows : 0;
    return shared_by / whole - shared * whole_by / (whole * whole) + whole_by / hull - whole * hull_by / (hull * hull);
  };
  return {shared / whole + whole / hull - 1,
          -derivative(height, a.x0 >= b.x0, shared_height, a.x0 < b.x0, hull_height),
          -derivative(width, a.y0 >= b.y0, shared_width, a.y0 < b.y0, hull_width),
          derivative(height, a.x1 <= b.x1, shared_height, a.x1 > b.x1, hull_height),
          derivative(width, a.y1 <= b.y1, shared_width, a.y1 > b.y1, hull_width)};
}

}  // namespace silverprint
