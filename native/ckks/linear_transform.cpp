#include "ckks/linear_transform.hpp"

#include <algorithm>
#include <array>
#include <list>
#include <stdexcept>

#include "ckks/in_values.hpp"
#include "ring/parallel.hpp"

namespace strongroom::ckks {

using ring::Extent;
using ring::Form;
using ring::Polynomial;

namespace {

template <class Factors>
void require_shape(const LinearTransform<Factors>& plan, std::size_t diagonals,
                   const ring::RingPointer& ring, std::span<const Ciphertext* const> inputs) {
    if (inputs.empty() || plan.babies.empty() || plan.giants.empty() ||
        diagonals != inputs.size() * plan.babies.size() * plan.giants.size()) {
        throw std::invalid_argument("a transform has inputs, and diagonals for all its steps");
    }
    const std::size_t limbs = inputs[0]->c0.limbs();
    for (const Ciphertext* input : inputs) {
        for (const Polynomial* part : {&input->c0, &input->c1}) {
            if (part->ring_pointer() != ring || part->limbs() != limbs) {
                throw std::invalid_argument("inputs of several rings or levels");
            }
        }
    }
    if (plan.chained) {
        const SwitchingKey* const first = plan.giants.size() > 1 ? plan.giants[1] : nullptr;
        if (plan.giants[0] != nullptr || (plan.giants.size() > 1 && first == nullptr) ||
            !std::all_of(plan.giants.begin() + 1, plan.giants.end(),
                         [&](const SwitchingKey* key) { return key == first; })) {
            throw std::invalid_argument("chained giant steps have one key");
        }
    }
    for (const auto& steps : {plan.babies, plan.giants}) {
        for (const SwitchingKey* key : steps) {
            if (key == nullptr) continue;
            require_key(*key, ring, limbs);
            if (key->automorphism() == nullptr) {
                throw std::invalid_argument("a relinearisation key has no automorphism");
            }
        }
    }
}

void require_part(const Polynomial& part, const ring::RingPointer& ring, std::size_t limbs) {
    if (part.ring_pointer() != ring || part.form() != Form::kValues || part.limbs() < limbs ||
        part.extent() != Extent::kData) {
        throw std::invalid_argument("a diagonal of another ring, form or level");
    }
}

// The sum of giant steps, times P. Each step's ciphertext comes times P; those that rotate are
// switched from there.
class GiantSteps {
  public:
    GiantSteps(const Parameters& parameters, std::size_t limbs)
        : parameters_(parameters),
          ring_(*parameters.ring()),
          sum_{Polynomial(parameters.ring(), limbs, Form::kValues, Extent::kWithSpecial),
               Polynomial(parameters.ring(), limbs, Form::kValues, Extent::kWithSpecial)} {}

    void add(const ExtendedCiphertext& step, const SwitchingKey* key) {
        if (key == nullptr) {
            sum_.c0.add(step.c0);
            sum_.c1.add(step.c1);
            return;
        }
        const std::array<const Polynomial*, 1> part = {&step.c1};
        const Polynomial c1 = std::move(ring::divide_and_round(part, step.c0.limbs())[0]);
        Decomposition decomposition(parameters_, c1);
        const std::size_t n = ring_.degree();
        const ring::Kernel& kernel = ring_.kernel();
        ring::parallel_for(decomposition.rows(), [&](std::size_t row) {
            const ring::Modulus& m = sum_.c0.modulus(row);
            ring::Words b(n), a(n), rotated(n);
            decomposition.transform_row(row);
            decomposition.multiply_row(*key, row, b.data(), a.data());
            kernel.add(b.data(), b.data(), step.c0.row(row), n, m);
            kernel.permute(rotated.data(), b.data(), *key->automorphism());
            kernel.add(sum_.c0.row(row), sum_.c0.row(row), rotated.data(), n, m);
            kernel.permute(rotated.data(), a.data(), *key->automorphism());
            kernel.add(sum_.c1.row(row), sum_.c1.row(row), rotated.data(), n, m);
        });
    }

    // The whole sum rotated, in place.
    void turn(const SwitchingKey& key) {
        const std::array<const Polynomial*, 1> part = {&sum_.c1};
        const Polynomial c1 = std::move(ring::divide_and_round(part, sum_.c0.limbs())[0]);
        Decomposition decomposition(parameters_, c1);
        const std::size_t n = ring_.degree();
        const ring::Kernel& kernel = ring_.kernel();
        ring::parallel_for(decomposition.rows(), [&](std::size_t row) {
            ring::Words b(n), a(n);
            decomposition.transform_row(row);
            decomposition.multiply_row(key, row, b.data(), a.data());
            kernel.add(b.data(), b.data(), sum_.c0.row(row), n, sum_.c0.modulus(row));
            kernel.permute(sum_.c0.row(row), b.data(), *key.automorphism());
            kernel.permute(sum_.c1.row(row), a.data(), *key.automorphism());
        });
    }

    Ciphertext finished(std::size_t drop) const { return finish(sum_, drop); }

  private:
    const Parameters& parameters_;
    const ring::Ring& ring_;
    ExtendedCiphertext sum_;
};

// Adds all giant steps, each with its key; chained ones from the last, unturned, with the sum
// turned in between.
template <class Factors, class Add>
void for_each_giant(const LinearTransform<Factors>& plan, GiantSteps& giants, const Add& add) {
    if (!plan.chained) {
        for (std::size_t i = 0; i < plan.giants.size(); ++i) add(i, plan.giants[i]);
        return;
    }
    for (std::size_t i = plan.giants.size(); i-- > 0;) {
        add(i, nullptr);
        if (i > 0) giants.turn(*plan.giants[i]);
    }
}

// P x in one row of a data prime.
void times_special(const ring::Ring& ring, std::uint64_t* out, const std::uint64_t* x,
                   std::size_t row) {
    const std::uint64_t factor = ring.conversion(0, 0, true).product_times_two_52(row);
    ring.kernel().combine(out, &x, &factor, 1, 0, ring.degree(), ring.modulus(row));
}

// For each giant step which rotated inputs have a diagonal; `present(i)` is of place i.
template <class Present>
std::vector<std::vector<std::size_t>> used_inputs(std::size_t giants, std::size_t rotated,
                                                  const Present& present) {
    std::vector<std::vector<std::size_t>> used(giants);
    for (std::size_t i = 0; i < giants * rotated; ++i) {
        if (present(i)) used[i / rotated].push_back(i % rotated);
    }
    return used;
}

// One row of the products of all giant steps, slice by slice. Rotated inputs come in pairs of rows,
// `stride` words apart.
void multiply_row(const Diagonals& diagonals, const std::vector<std::vector<std::size_t>>& used,
                  const std::uint64_t* rotated, std::size_t stride, std::size_t prime,
                  std::vector<ExtendedCiphertext>& results, std::size_t row) {
    const ring::Ring& ring = *diagonals.ring_pointer();
    const std::size_t slice = diagonals.slice();
    std::vector<const std::uint64_t*> factors, x0, x1;
    for (std::size_t number = 0; number < ring.degree() / slice; ++number) {
        const std::size_t begin = number * slice;
        const std::uint64_t* next = diagonals.words(prime, number);
        for (std::size_t i = 0; i < used.size(); ++i) {
            if (used[i].empty()) continue;
            factors.clear(), x0.clear(), x1.clear();
            for (const std::size_t input : used[i]) {
                factors.push_back(next);
                next += diagonals.kept();
                x0.push_back(rotated + 2 * input * stride + begin);
                x1.push_back(x0.back() + stride);
            }
            ring.kernel().multiply_diagonals(
                results[i].c0.row(row) + begin, results[i].c1.row(row) + begin,
                {factors, x0, x1, diagonals.log_run()}, slice, ring.modulus(prime));
        }
    }
}

}  // namespace

Ciphertext transform(const Parameters& parameters, std::span<const Ciphertext* const> inputs,
                     const PlainTransform& plan, std::size_t drop) {
    const ring::RingPointer& ring = parameters.ring();
    const ring::Kernel& kernel = ring->kernel();
    const std::size_t n = ring->degree();
    const Diagonals& diagonals = plan.diagonals;
    require_shape(plan, diagonals.present().size(), ring, inputs);
    const std::size_t limbs = inputs[0]->c0.limbs();
    if (diagonals.ring_pointer() != ring || diagonals.limbs() < limbs || !diagonals.complete()) {
        throw std::invalid_argument("diagonals of another ring or level, or not all of them");
    }
    const InValues values(inputs);
    std::list<Decomposition> decompositions;
    for (std::size_t s = 0; s < inputs.size(); ++s) {
        decompositions.emplace_back(parameters, values[s].c1);
    }
    const auto used =
        used_inputs(plan.giants.size(), inputs.size() * plan.babies.size(),
                    [&](std::size_t i) { return static_cast<bool>(diagonals.present()[i]); });
    std::vector<ExtendedCiphertext> steps;
    for (const auto& its : used) {
        steps.push_back(its.empty() ? ExtendedCiphertext{}
                                    : ExtendedCiphertext::unset(parameters, limbs));
    }
    // Row by row: the rotated inputs of one row serve all giant steps while they are in the cache,
    // and a row of a key all inputs.
    ring::parallel_for(decompositions.front().rows(), [&](std::size_t row) {
        for (Decomposition& decomposition : decompositions) decomposition.transform_row(row);
        const bool data = row < limbs;
        const std::size_t prime = data ? row : row - limbs + ring->limbs();
        const std::size_t babies = plan.babies.size();
        const std::size_t stride = ring->row_words();
        ring::Words rotated(2 * babies * inputs.size() * stride), b(n), a(n);
        for (std::size_t j = 0; j < babies; ++j) {
            const SwitchingKey* key = plan.babies[j];
            std::size_t s = 0;
            for (const Decomposition& decomposition : decompositions) {
                const Ciphertext& input = values[s];
                std::uint64_t* u0 = rotated.data() + 2 * (s++ * babies + j) * stride;
                std::uint64_t* u1 = u0 + stride;
                if (key == nullptr && data) {
                    times_special(*ring, u0, input.c0.row(row), row);
                    times_special(*ring, u1, input.c1.row(row), row);
                    continue;
                }
                if (key == nullptr) {
                    std::fill(u0, u0 + 2 * stride, 0);
                    continue;
                }
                decomposition.multiply_row(*key, row, b.data(), a.data(),
                                           data ? input.c0.row(row) : nullptr);
                kernel.permute(u0, b.data(), *key->automorphism());
                kernel.permute(u1, a.data(), *key->automorphism());
            }
        }
        multiply_row(diagonals, used, rotated.data(), stride, prime, steps, row);
    });
    GiantSteps giants(parameters, limbs);
    for_each_giant(plan, giants, [&](std::size_t i, const SwitchingKey* key) {
        if (!used[i].empty()) giants.add(steps[i], key);
    });
    return giants.finished(drop);
}

Ciphertext transform(const Parameters& parameters, std::span<const Ciphertext* const> inputs,
                     const EncryptedTransform& plan, const SwitchingKey& relinearisation,
                     std::size_t drop) {
    const ring::RingPointer& ring = parameters.ring();
    const ring::Kernel& kernel = ring->kernel();
    const std::size_t n = ring->degree();
    require_shape(plan, plan.diagonals.size(), ring, inputs);
    const std::size_t limbs = inputs[0]->c0.limbs();
    require_key(relinearisation, ring, limbs);
    if (relinearisation.element() != kRelinearisation) {
        throw std::invalid_argument("not a relinearisation key");
    }
    for (const Ciphertext* diagonal : plan.diagonals) {
        if (diagonal == nullptr) continue;
        require_part(diagonal->c0, ring, limbs);
        require_part(diagonal->c1, ring, limbs);
    }
    std::vector<const SwitchingKey*> keys;
    for (const SwitchingKey* key : plan.babies) {
        if (key != nullptr) keys.push_back(key);
    }
    const InValues values(inputs);
    std::list<std::vector<Ciphertext>> turned;
    std::vector<const Ciphertext*> rotated;
    for (std::size_t s = 0; s < inputs.size(); ++s) {
        turned.push_back(apply_automorphisms(parameters, values[s], keys));
        std::size_t next = 0;
        for (const SwitchingKey* key : plan.babies) {
            rotated.push_back(key == nullptr ? &values[s] : &turned.back()[next++]);
        }
    }
    // The three components of every giant step, row by row.
    struct Step {
        Polynomial d0, d1, d2;
    };
    const auto used = used_inputs(plan.giants.size(), rotated.size(),
                                  [&](std::size_t i) { return plan.diagonals[i] != nullptr; });
    std::vector<Step> steps(plan.giants.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
        if (used[i].empty()) continue;
        for (Polynomial* d : {&steps[i].d0, &steps[i].d1, &steps[i].d2}) {
            *d = Polynomial::unset(ring, limbs, Form::kValues);
        }
    }
    ring::parallel_for(limbs, [&](std::size_t row) {
        const ring::Modulus& m = ring->modulus(row);
        for (std::size_t i = 0; i < plan.giants.size(); ++i) {
            if (used[i].empty()) continue;
            // d1 has two products for each of the others' one: e0 u1, then e1 u0.
            std::vector<const std::uint64_t*> e, u;
            const std::size_t count = used[i].size();
            for (const std::size_t input : used[i]) {
                e.push_back(plan.diagonals[i * rotated.size() + input]->c0.row(row));
                u.push_back(rotated[input]->c1.row(row));
            }
            for (const std::size_t input : used[i]) {
                e.push_back(plan.diagonals[i * rotated.size() + input]->c1.row(row));
                u.push_back(rotated[input]->c0.row(row));
            }
            kernel.sum_products(steps[i].d1.row(row), e.data(), u.data(), 2 * count, n, m);
            kernel.sum_products(steps[i].d0.row(row), e.data(), u.data() + count, count, n, m);
            kernel.sum_products(steps[i].d2.row(row), e.data() + count, u.data(), count, n, m);
        }
    });
    GiantSteps giants(parameters, limbs);
    for_each_giant(plan, giants, [&](std::size_t i, const SwitchingKey* key) {
        if (used[i].empty()) return;
        const Step step = std::move(steps[i]);
        Decomposition decomposition(parameters, step.d2);
        ExtendedCiphertext result = ExtendedCiphertext::unset(parameters, limbs);
        ring::parallel_for(decomposition.rows(), [&](std::size_t row) {
            decomposition.transform_row(row);
            const bool data = row < limbs;
            decomposition.multiply_row(relinearisation, row, result.c0.row(row), result.c1.row(row),
                                       data ? step.d0.row(row) : nullptr,
                                       data ? step.d1.row(row) : nullptr);
        });
        giants.add(result, key);
    });
    return giants.finished(drop);
}

}  // namespace strongroom::ckks
