// NumPy arrays and buffers at the border of the core.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <complex>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "ring/ring.hpp"

namespace strongroom {

template <class T>
using View =
    nanobind::ndarray<const T, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
using BytesView = View<std::uint8_t>;
using DoublesView = View<double>;
using ComplexView = View<std::complex<double>>;
using PositionsView = View<std::uint32_t>;

template <class T>
std::span<const T> span_of(const View<T>& view) {
    return {view.data(), view.size()};
}

// A copy that nobody changes meanwhile: what was checked is what is used.
inline std::vector<std::uint32_t> copied(const PositionsView& view) {
    return {view.data(), view.data() + view.size()};
}
inline std::optional<std::vector<std::uint32_t>> copied(const std::optional<PositionsView>& view) {
    if (!view) return std::nullopt;
    return copied(*view);
}

// None in a list becomes a null pointer; where a list may not hold any, it is refused here.
template <class T>
const std::vector<const T*>& all_of(const std::vector<const T*>& pointers) {
    for (const T* pointer : pointers) {
        if (pointer == nullptr) throw std::invalid_argument("None in a list of operands");
    }
    return pointers;
}

template <class T>
nanobind::ndarray<nanobind::numpy, T> to_array(std::vector<T> values,
                                               std::initializer_list<std::size_t> shape = {}) {
    const std::size_t size = values.size();
    auto* owned = new std::vector<T>(std::move(values));
    nanobind::capsule owner(owned,
                            [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    if (shape.size() == 0) return {owned->data(), {size}, owner};
    return {owned->data(), shape, owner};
}

// A copy of a polynomial's coefficients, shape (rows, N).
inline nanobind::ndarray<nanobind::numpy, std::uint64_t> residues_of(ring::Polynomial polynomial) {
    polynomial.to_coefficients();
    std::vector<std::uint64_t> words;
    words.reserve(polynomial.rows() * polynomial.degree());
    for (std::size_t i = 0; i < polynomial.rows(); ++i) {
        words.insert(words.end(), polynomial.row(i), polynomial.row(i) + polynomial.degree());
    }
    return to_array(std::move(words), {polynomial.rows(), polynomial.degree()});
}

}  // namespace strongroom
