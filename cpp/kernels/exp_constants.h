#pragma once
// exp(x) for x <= 0: n = round(x / ln 2), r = x - n ln 2 in two steps (Cody and Waite), then the
// Taylor polynomial of degree 7 in r by Horner and a scaling by 2^n. Within 1 ulp of exp down to
// the cut, which keeps 2^n a normal number.
namespace silverprint {

inline constexpr float kExpCut = -87.0f;
inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kLn2High = 0.693359375f;
inline constexpr float kLn2Low = -2.12194440e-4f;
inline constexpr float kExpTaylor[8] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24,
                                        1.0f / 6,    0.5f,       1.0f,       1.0f};

}  // namespace silverprint
