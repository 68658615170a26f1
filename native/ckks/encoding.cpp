#include "ckks/encoding.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "ckks/composition.hpp"
#include "ckks/rounding.hpp"
#include "ring/parallel.hpp"

namespace strongroom::ckks {

using ring::Extent;
using ring::Form;
using ring::Polynomial;

namespace {

// Coefficients that one thread composes at a time.
constexpr std::size_t kComposed = 2048;

// N/2 complex numbers as two vectors of doubles. A distance between these that is no power of two
// keeps their elements apart in the caches; fewer than eight follow one another, so that eight
// coefficients can always be written at a time.
class Slots {
  public:
    explicit Slots(std::size_t slots)
        : slots_(slots), begin_(slots < 8 ? slots : slots + 40), parts_(begin_ + slots, 0.0) {}

    double* real() { return parts_.data(); }
    double* imaginary() { return parts_.data() + begin_; }
    std::span<const double> reals() { return {real(), slots_}; }
    std::span<const double> imaginaries() { return {imaginary(), slots_}; }

  private:
    std::size_t slots_, begin_;
    std::vector<double, ring::Allocator<double, false>> parts_;
};

void require_room(const Polynomial& polynomial, double largest) {
    double log_modulus = 0;
    for (std::size_t i = 0; i < polynomial.limbs(); ++i) {
        log_modulus += std::log2(static_cast<double>(polynomial.modulus(i).value));
    }
    if (largest >= 1.0 && std::log2(largest) >= log_modulus - 1.0) {
        throw std::invalid_argument("a value to encode reaches half of the modulus");
    }
}

// Coefficients become the integers, the rest zero.
void fill(Polynomial& polynomial, const RoundedIntegers& integers) {
    const ring::Ring& ring = polynomial.ring();
    ring::parallel_for(polynomial.rows(), [&](std::size_t i) {
        std::uint64_t* row = polynomial.row(i);
        integers.residues(row, ring.kernel(), polynomial.modulus(i));
        std::fill(row + integers.padded(), row + ring.degree(), 0);
        if (polynomial.form() == Form::kValues) {
            ring.kernel().forward_ntt(row, ring.table(polynomial.prime(i)));
        }
    });
}

Plaintext encode(const Parameters& parameters, Slots& slots, double scale, std::size_t limbs,
                 Form form, Extent extent) {
    const ring::Ring& ring = *parameters.ring();
    Plaintext result{Polynomial::unset(parameters.ring(), limbs, form, extent)};
    ring.kernel().slots_to_coefficients(slots.real(), slots.imaginary(), ring.embedding());
    const double largest =
        std::max(largest_scaled(slots.reals(), scale), largest_scaled(slots.imaginaries(), scale));
    require_room(result.polynomial, largest);
    RoundedIntegers integers(ring.degree(), largest);
    integers.set(0, slots.reals(), scale);
    integers.set(ring.degree() / 2, slots.imaginaries(), scale);
    fill(result.polynomial, integers);
    return result;
}

Slots slots_for(const Parameters& parameters, std::size_t count) {
    const std::size_t slots = parameters.ring_degree() / 2;
    if (count > slots) throw std::invalid_argument("more values than slots");
    return Slots(slots);
}

void require_ring(const Parameters& parameters, const Plaintext& plaintext) {
    if (plaintext.polynomial.ring_pointer() != parameters.ring()) {
        throw std::invalid_argument("a plaintext of other parameters");
    }
}

// The rows of the data primes as coefficients; copied to `room` where they are values.
std::vector<const std::uint64_t*> coefficient_rows(const Polynomial& polynomial, Polynomial& room) {
    const ring::Ring& ring = polynomial.ring();
    std::vector<const std::uint64_t*> rows(polynomial.limbs());
    if (polynomial.form() == Form::kCoefficients) {
        for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = polynomial.row(i);
        return rows;
    }
    room = Polynomial::unset(polynomial.ring_pointer(), rows.size(), Form::kCoefficients);
    ring::parallel_for(rows.size(), [&](std::size_t i) {
        ring.kernel().inverse_ntt(room.row(i), polynomial.row(i), ring.table(i));
        rows[i] = room.row(i);
    });
    return rows;
}

// out(i) is where coefficient i goes, and its neighbours up to the next multiple of `piece`.
template <class Out>
void compose(const Polynomial& polynomial, double scale, std::size_t piece, const Out& out) {
    Polynomial room;
    const std::vector<const std::uint64_t*> rows = coefficient_rows(polynomial, room);
    const Composition composition(polynomial.ring(), rows.size(), scale);
    ring::parallel_for(polynomial.degree() / piece, [&](std::size_t task) {
        std::vector<const std::uint64_t*> residues = rows;
        for (const std::uint64_t*& row : residues) row += task * piece;
        composition(out(task * piece), residues, piece);
    });
}

}  // namespace

Plaintext encode_coefficients(const Parameters& parameters, std::span<const double> values,
                              double scale, std::size_t limbs, Form form, Extent extent) {
    if (values.size() > parameters.ring_degree()) {
        throw std::invalid_argument("more values than coefficients");
    }
    Plaintext result{Polynomial::unset(parameters.ring(), limbs, form, extent)};
    const double largest = largest_scaled(values, scale);
    require_room(result.polynomial, largest);
    RoundedIntegers integers(values.size(), largest);
    integers.set(0, values, scale);
    fill(result.polynomial, integers);
    return result;
}

void add_rounded(Polynomial& polynomial, std::span<const std::uint32_t> positions,
                 std::span<const double> values, double scale) {
    if (positions.size() != values.size() || polynomial.form() != Form::kCoefficients) {
        throw std::invalid_argument("values are added to as many coefficients");
    }
    for (const std::uint32_t position : positions) {
        if (position >= polynomial.degree()) throw std::invalid_argument("no such coefficient");
    }
    const double largest = largest_scaled(values, scale);
    require_room(polynomial, largest);
    RoundedIntegers integers(values.size(), largest);
    integers.set(0, values, scale);
    ring::Words residues(integers.padded());
    for (std::size_t i = 0; i < polynomial.rows(); ++i) {
        const ring::Modulus& m = polynomial.modulus(i);
        integers.residues(residues.data(), polynomial.ring().kernel(), m);
        for (std::size_t k = 0; k < positions.size(); ++k) {
            std::uint64_t& word = polynomial.row(i)[positions[k]];
            word = ring::add_mod(word, residues[k], m);
        }
    }
}

Plaintext encode_slots(const Parameters& parameters, std::span<const std::complex<double>> values,
                       double scale, std::size_t limbs, Form form, Extent extent) {
    Slots slots = slots_for(parameters, values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        slots.real()[i] = values[i].real();
        slots.imaginary()[i] = values[i].imag();
    }
    return encode(parameters, slots, scale, limbs, form, extent);
}

Plaintext encode_slots(const Parameters& parameters, std::span<const double> values, double scale,
                       std::size_t limbs, Form form, Extent extent) {
    Slots slots = slots_for(parameters, values.size());
    std::copy(values.begin(), values.end(), slots.real());
    return encode(parameters, slots, scale, limbs, form, extent);
}

std::vector<double> centred(const Polynomial& polynomial, std::span<const std::uint32_t> positions,
                            double scale) {
    if (polynomial.form() != Form::kCoefficients) {
        throw std::invalid_argument("only coefficients can be centred");
    }
    for (const std::uint32_t position : positions) {
        if (position >= polynomial.degree()) throw std::invalid_argument("no such coefficient");
    }
    const std::size_t padded = (positions.size() + 7) / 8 * 8;
    ring::Secret<std::uint64_t> residues(polynomial.limbs() * padded);
    std::vector<const std::uint64_t*> rows(polynomial.limbs());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::uint64_t* row = residues.data() + i * padded;
        for (std::size_t k = 0; k < positions.size(); ++k) row[k] = polynomial.row(i)[positions[k]];
        rows[i] = row;
    }
    std::vector<double> result(padded);
    Composition(polynomial.ring(), rows.size(), scale)(result.data(), rows, padded);
    result.resize(positions.size());
    return result;
}

std::vector<double> decode_coefficients(const Parameters& parameters, const Plaintext& plaintext,
                                        double scale) {
    require_ring(parameters, plaintext);
    const std::size_t n = parameters.ring_degree();
    std::vector<double> values(n);
    compose(plaintext.polynomial, scale, std::min(kComposed, n),
            [&](std::size_t i) { return values.data() + i; });
    return values;
}

std::vector<std::complex<double>> decode_slots(const Parameters& parameters,
                                               const Plaintext& plaintext, double scale) {
    require_ring(parameters, plaintext);
    const std::size_t count = parameters.ring_degree() / 2;
    Slots slots(count);
    compose(plaintext.polynomial, scale, std::clamp(count, std::size_t{8}, kComposed),
            [&](std::size_t i) {
                return i < count ? slots.real() + i : slots.imaginary() + (i - count);
            });
    const ring::Ring& ring = *parameters.ring();
    ring.kernel().coefficients_to_slots(slots.real(), slots.imaginary(), ring.embedding());
    std::vector<std::complex<double>> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = {slots.real()[i], slots.imaginary()[i]};
    return values;
}

}  // namespace strongroom::ckks
