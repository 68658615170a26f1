// Checks of parts of keys, and proofs of shares, for Python.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "python/modules.hpp"
#include "python/packing.hpp"
#include "threshold/polynomial_bytes.hpp"
#include "threshold/share_proof.hpp"

namespace strongroom {

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using threshold::KeyPart;
using threshold::kSamples;
using threshold::Samples;
using threshold::ShareProver;
using threshold::ShareRelation;
using WordsView = View<std::uint64_t>;

ring::Polynomial rows_of(const ring::RingPointer& ring, std::span<const std::uint64_t> words) {
    const std::size_t n = ring->degree();
    ring::Polynomial result = ring::Polynomial::unset(ring, words.size() / n, ring::Form::kValues);
    for (std::size_t row = 0; row < result.rows(); ++row) {
        std::copy_n(words.data() + row * n, n, result.row(row));
        const std::uint64_t q = result.modulus(row).value;
        if (std::any_of(result.row(row), result.row(row) + n,
                        [q](std::uint64_t word) { return word >= q; })) {
            throw UnpackError("range");
        }
    }
    return result;
}

void append_rows(std::vector<std::uint64_t>& words, const ring::Polynomial& polynomial) {
    for (std::size_t row = 0; row < polynomial.rows(); ++row) {
        words.insert(words.end(), polynomial.row(row), polynomial.row(row) + polynomial.degree());
    }
}

// Of words one sample after the other, each with as many rows.
Samples samples_of(const ckks::Parameters& parameters, const WordsView& words) {
    const ring::RingPointer& ring = parameters.ring();
    const std::size_t size = words.size() / kSamples;
    const std::size_t limbs = size / ring->degree();
    if (words.size() != kSamples * limbs * ring->degree() || limbs == 0 || limbs > ring->limbs()) {
        throw UnpackError("length");
    }
    Samples samples;
    for (std::size_t i = 0; i < kSamples; ++i) {
        samples[i] = rows_of(ring, span_of(words).subspan(i * size, size));
    }
    return samples;
}

Samples public_samples(const ckks::Parameters& parameters, const std::vector<BytesView>& seeds,
                       std::size_t limbs) {
    std::vector<ring::Seed> all;
    for (const BytesView& seed : seeds) all.push_back(to_seed(span_of(seed)));
    return threshold::public_polynomials(parameters, all, limbs);
}

// A relation together with the samples that it is about.
struct Relation {
    ShareRelation relation;
    Samples samples;
};

struct Prover {
    nb::object relation;  // that the prover refers to
    ShareProver prover;
};

Relation make_relation(const ckks::Parameters& parameters, const std::vector<BytesView>& seeds,
                       const WordsView& samples, std::size_t limbs, const BytesView& c1,
                       const PositionsView& positions, double log_sigma, std::uint64_t error_bound,
                       unsigned log_mask) {
    Samples b = samples_of(parameters, samples);
    Samples a = public_samples(parameters, seeds, b[0].limbs());
    auto second = threshold::unpack_second_part(parameters.ring(), limbs, span_of(c1));
    if (const auto* fault = std::get_if<ring::UnpackFault>(&second)) {
        throw UnpackError(describe(*fault));
    }
    return {ShareRelation(parameters, std::move(a), std::get<ring::Polynomial>(std::move(second)),
                          copied(positions), log_sigma, error_bound, log_mask),
            std::move(b)};
}

nb::object array_or_none(std::optional<std::vector<std::uint64_t>> words) {
    if (!words) return nb::none();
    return nb::cast(to_array(std::move(*words)));
}

}  // namespace

void bind_share_proofs(nb::module_& m) {
    m.def(
        "are_samples_of",
        [](const ckks::Parameters& parameters, const std::vector<const KeyPart*>& parts,
           const std::vector<BytesView>& seeds, WordsView samples, std::uint64_t bound) {
            return unlocked([&] {
                const Samples b = samples_of(parameters, samples);
                const Samples a = public_samples(parameters, seeds, b[0].limbs());
                return threshold::are_samples_of(all_of(parts), a, b, bound);
            });
        },
        "parameters"_a, "parts"_a, "seeds"_a, "samples"_a, "bound"_a);
    m.def(
        "wide_samples",
        [](const ckks::Parameters& parameters, const KeyPart& secret,
           const std::vector<BytesView>& seeds, std::size_t limbs, double log_sigma) {
            return to_array(unlocked([&] {
                const Samples a = public_samples(parameters, seeds, limbs);
                std::vector<std::uint64_t> words;
                for (const ring::Polynomial& one : threshold::wide_samples(secret, a, log_sigma)) {
                    append_rows(words, one);
                }
                return words;
            }));
        },
        "parameters"_a, "secret"_a, "seeds"_a, "limbs"_a, "log_sigma"_a);
    m.def(
        "pack_rows",
        [](const ckks::Parameters& parameters, WordsView words) {
            return to_bytes(unlocked([&] {
                std::vector<std::uint8_t> bytes;
                threshold::append_packed(bytes, rows_of(parameters.ring(), span_of(words)));
                return bytes;
            }));
        },
        "parameters"_a, "words"_a);
    m.def(
        "unpack_rows",
        [](const ckks::Parameters& parameters, std::size_t limbs, BytesView bytes) {
            return to_array(unlocked([&] {
                auto rows = threshold::unpack_second_part(parameters.ring(), limbs, span_of(bytes));
                if (const auto* fault = std::get_if<ring::UnpackFault>(&rows)) {
                    throw UnpackError(describe(*fault));
                }
                std::vector<std::uint64_t> words;
                append_rows(words, std::get<ring::Polynomial>(rows));
                return words;
            }));
        },
        "parameters"_a, "limbs"_a, "data"_a);
    nb::class_<Relation>(m, "ShareRelation")
        .def(
            "__init__",
            [](Relation* self, const ckks::Parameters& parameters,
               const std::vector<BytesView>& seeds, WordsView samples, std::size_t limbs,
               BytesView c1, PositionsView positions, double log_sigma, std::uint64_t error_bound,
               unsigned log_mask) {
                new (self) Relation(make_relation(parameters, seeds, samples, limbs, c1, positions,
                                                  log_sigma, error_bound, log_mask));
            },
            "parameters"_a, "seeds"_a, "samples"_a, "limbs"_a, "c1"_a, "positions"_a, "log_sigma"_a,
            "error_bound"_a, "log_mask"_a)
        .def_prop_ro("answer_bytes",
                     [](const Relation& self) { return self.relation.answer_bytes(); })
        .def(
            "commitment",
            [](const Relation& self, BytesView seed) {
                return to_array(
                    unlocked([&] { return self.relation.commitment(to_seed(span_of(seed))); }));
            },
            "seed"_a)
        .def(
            "commitment_of",
            [](const Relation& self, BytesView answer, WordsView words) {
                return array_or_none(unlocked([&] {
                    return self.relation.commitment(span_of(answer), self.samples, span_of(words));
                }));
            },
            "answer"_a, "words"_a);
    nb::class_<Prover>(m, "ShareProver")
        .def(
            "__init__",
            [](Prover* self, nb::object relation, const std::vector<const KeyPart*>& parts,
               WordsView words) {
                const auto& its = nb::cast<const Relation&>(relation);
                ShareProver prover = unlocked([&] {
                    return ShareProver(its.relation, all_of(parts), its.samples, span_of(words));
                });
                new (self) Prover{std::move(relation), std::move(prover)};
            },
            "relation"_a, "parts"_a, "words"_a)
        .def(
            "answer",
            [](const Prover& self, BytesView seed) -> nb::object {
                const auto bytes =
                    unlocked([&] { return self.prover.answer(to_seed(span_of(seed))); });
                if (!bytes) return nb::none();
                return to_bytes(*bytes);
            },
            "seed"_a);
}

}  // namespace strongroom
