#include "ring/rounded_division.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "ring/parallel.hpp"

namespace strongroom::ring {

namespace {

// If the rows that are converted from take no more than this, they stay in the second cache while
// one row after the other is converted and transformed.
constexpr std::size_t kCachedBytes = std::size_t{400} << 10;

}  // namespace

RoundedDivision::RoundedDivision(RingPointer ring, std::size_t count, std::size_t limbs,
                                 bool special, std::size_t kept, Form form)
    : ring_(std::move(ring)),
      conversion_(ring_->conversion(kept, limbs, special)),
      count_(count),
      limbs_(limbs),
      kept_(kept),
      dropped_(limbs - kept + (special ? ring_->special_limbs() : 0)),
      stride_(ring_->row_words()),
      form_(form),
      row_by_row_(dropped_ * ring_->degree() * sizeof(std::uint64_t) <= kCachedBytes),
      small_(count),
      digits_(count * dropped_ * stride_) {
    for (std::size_t p = 0; p < count; ++p) {
        results_.push_back(Polynomial::unset(ring_, kept, form));
    }
}

void RoundedDivision::add_small(std::size_t p, std::span<const std::int32_t> small) {
    if (small.size() != ring_->degree()) {
        throw std::invalid_argument("a polynomial has N small coefficients");
    }
    small_[p].assign(small.begin(), small.end());
}

void RoundedDivision::take_row(std::size_t p, std::size_t k, const std::uint64_t* row) {
    const std::size_t prime = kept_ + k < limbs_ ? kept_ + k : kept_ + k - limbs_ + ring_->limbs();
    if (form_ == Form::kValues) {
        ring_->kernel().inverse_ntt(digits(p, k), row, ring_->table(prime));
    } else {
        std::copy_n(row, ring_->degree(), digits(p, k));
    }
    if (small_[p].empty()) return;
    const std::size_t n = ring_->degree();
    Secret<std::uint64_t> small(n);
    ring_->kernel().reduce_integers(small.data(), small_[p].data(), n, ring_->modulus(prime));
    ring_->kernel().add(digits(p, k), digits(p, k), small.data(), n, ring_->modulus(prime));
}

void RoundedDivision::prepare() {
    const std::size_t block = std::min(kConversionBlock, ring_->degree());
    const std::size_t blocks = ring_->degree() / block;
    parallel_for(count_ * blocks, [&](std::size_t task) {
        const std::size_t p = task / blocks;
        const std::size_t at = task % blocks * block;
        std::array<std::uint64_t*, kMostCombined> rows;
        for (std::size_t k = 0; k < dropped_; ++k) rows[k] = digits(p, k) + at;
        conversion_.to_digits({rows.data(), dropped_}, block);
        for (std::size_t i = 0; !row_by_row_ && i < kept_; ++i) {
            conversion_.to_residues(results_[p].row(i) + at, {rows.data(), dropped_}, i, block);
        }
    });
}

void RoundedDivision::finish_row(std::size_t p, std::size_t i, const std::uint64_t* x,
                                 const Automorphism* automorphism) {
    const Kernel& kernel = ring_->kernel();
    const std::size_t n = ring_->degree();
    std::uint64_t* result = results_[p].row(i);
    if (row_by_row_) {
        std::array<const std::uint64_t*, kMostCombined> rows;
        for (std::size_t k = 0; k < dropped_; ++k) rows[k] = digits(p, k);
        conversion_.to_residues(result, {rows.data(), dropped_}, i, n);
    }
    if (!small_[p].empty()) {
        // x + e - r = x - (r - e), and r is still coefficients, as e is.
        Secret<std::uint64_t> small(n);
        kernel.reduce_integers(small.data(), small_[p].data(), n, ring_->modulus(i));
        kernel.subtract(result, result, small.data(), n, ring_->modulus(i));
    }
    if (form_ == Form::kValues) kernel.forward_ntt(result, ring_->table(i));
    const ShoupFactor& inverse = conversion_.inverse_product(i);
    if (automorphism == nullptr) {
        kernel.subtract_scale(result, x, result, n, inverse.value, inverse.shoup,
                              ring_->modulus(i));
    } else {
        Words quotient(n);
        kernel.subtract_scale(quotient.data(), x, result, n, inverse.value, inverse.shoup,
                              ring_->modulus(i));
        kernel.permute(result, quotient.data(), *automorphism);
    }
}

}  // namespace strongroom::ring
