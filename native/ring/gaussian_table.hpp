// The cumulative table of the error distribution: the discrete Gaussian over the integers with
// standard deviation 3.2 (the sigma that the security table assumes).
#pragma once

#include <array>
#include <cstdint>

namespace strongroom::ring {

inline constexpr double kErrorSigma = 3.2;

// Entry k is round(2^63 P(|x| > k)); P(x) is proportional to exp(-x^2 / (2 sigma^2)). A test
// recomputes it in high precision. What the table cuts off has probability below 2^-63.
inline constexpr std::array<std::uint64_t, 29> kGaussianTail = {
    8073499201425509800ULL,
    5883348370701942930ULL,
    3991629182630250053ULL,
    2509699002363457274ULL,
    1456798710654579249ULL,
    778321634312219174ULL,
    381795751200163125ULL,
    171613357976589712ULL,
    70569585085359829ULL,
    26512962087029103ULL,
    9090830680771688ULL,
    2842272832067367ULL,
    809697108902602ULL,
    210041220178844ULL,
    49588937064720ULL,
    10650534664075ULL,
    2080180164796ULL,
    369346163117ULL,
    59600389513ULL,
    8738635276ULL,
    1163930510ULL,
    140805938ULL,
    15468807ULL,
    1543030ULL,
    139740ULL,
    11488ULL,
    857ULL,
    58ULL,
    4ULL,
};

}  // namespace strongroom::ring
