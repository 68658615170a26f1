#include "ckks/diagonals.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

#include "ring/kernel.hpp"

namespace strongroom::ckks {

using ring::Polynomial;

namespace {

// Words of a row that are multiplied before the next: of all rotated inputs together they fit into
// a core's own cache, where every giant step finds them.
constexpr std::size_t kSlice = 1024;

bool has_runs(const std::uint64_t* row, std::size_t n, std::size_t run) {
    for (std::size_t i = 0; i < n; i += run) {
        const auto differs = [first = row[i]](std::uint64_t word) { return word != first; };
        if (std::any_of(row + i + 1, row + i + run, differs)) return false;
    }
    return true;
}

}  // namespace

Diagonals::Diagonals(const Parameters& parameters, std::size_t limbs, std::vector<bool> present,
                     unsigned log_run)
    : ring_(parameters.ring()),
      limbs_(limbs),
      present_(std::move(present)),
      log_run_(log_run),
      count_(static_cast<std::size_t>(std::count(present_.begin(), present_.end(), true))),
      missing_(count_),
      set_(present_.size(), false) {
    if (count_ == 0 || limbs == 0 || limbs > ring_->limbs() ||
        log_run >= static_cast<unsigned>(std::countr_zero(ring_->degree()))) {
        throw std::invalid_argument("a map has diagonals, at a level, of at least one slot");
    }
    std::size_t rank = 0;
    for (const bool is_there : present_) {
        rank_.push_back(rank);
        rank += is_there ? 1 : 0;
    }
    const std::size_t slices = ring_->degree() / slice();
    for (std::size_t row = 0; row < limbs_ + ring_->special_limbs(); ++row) {
        rows_.emplace_back(slices * count_ * kept() + ring::kReadBeyond);
    }
}

std::size_t Diagonals::slice() const {
    return std::min(kSlice, ring_->degree());
}

std::size_t Diagonals::kept() const {
    return std::max(std::size_t{1}, slice() >> log_run_);
}

const std::uint64_t* Diagonals::words(std::size_t prime, std::size_t number) const {
    return rows_[row_of(prime)].data() + number * count_ * kept();
}

std::size_t Diagonals::bytes() const {
    return rows_.size() * rows_.front().size() * sizeof(std::uint64_t);
}

void Diagonals::set(std::size_t place, const Plaintext& plaintext) {
    const Polynomial& polynomial = plaintext.polynomial;
    if (place >= present_.size() || !present_[place] || set_[place]) {
        throw std::invalid_argument("the map has no such diagonal, or has it already");
    }
    if (polynomial.ring_pointer() != ring_ || polynomial.form() != ring::Form::kValues ||
        polynomial.extent() != ring::Extent::kWithSpecial || polynomial.limbs() < limbs_) {
        throw std::invalid_argument("a diagonal of another ring, form or level");
    }
    const std::size_t n = ring_->degree();
    const std::size_t run = std::size_t{1} << log_run_;
    for (std::size_t row = 0; row < polynomial.rows(); ++row) {
        const std::size_t prime = polynomial.prime(row);
        if (prime >= limbs_ && prime < ring_->limbs()) continue;
        const std::uint64_t* from = polynomial.row(row);
        if (!has_runs(from, n, run)) {
            throw std::invalid_argument("a diagonal without the repetitions of the map");
        }
        std::uint64_t* to = rows_[row_of(prime)].data() + rank_[place] * kept();
        for (std::size_t begin = 0; begin < n; begin += slice(), to += count_ * kept()) {
            for (std::size_t i = 0; i < kept(); ++i) to[i] = from[begin + (i << log_run_)];
        }
    }
    --missing_;
    set_[place] = true;
}

}  // namespace strongroom::ckks
