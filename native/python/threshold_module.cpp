// Parts of keys, their shares of collective keys, and decryption by their holders, for Python.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <utility>
#include <variant>

#include "ckks/encryption.hpp"
#include "ckks/switching_key_bytes.hpp"
#include "python/modules.hpp"
#include "python/packing.hpp"
#include "threshold/decryption.hpp"
#include "threshold/polynomial_bytes.hpp"
#include "threshold/relinearisation.hpp"

namespace strongroom {

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using threshold::KeyPart;
using threshold::RelinearisationRound;
using threshold::Share;
using ByteViews = std::vector<BytesView>;

// A share among several that is none: `share` says which.
struct ShareError : UnpackError {
    ShareError(std::size_t which, ring::UnpackFault fault)
        : UnpackError(std::to_string(which) + " " + describe(fault)) {}
};

std::vector<ring::Seed> to_seeds(const ByteViews& views) {
    std::vector<ring::Seed> seeds;
    for (const BytesView& view : views) seeds.push_back(to_seed(span_of(view)));
    return seeds;
}

Share sum_of(const ckks::Parameters& parameters, std::size_t limbs, std::size_t polynomials,
             const ByteViews& shares) {
    std::vector<std::span<const std::uint8_t>> spans;
    for (const BytesView& share : shares) spans.push_back(span_of(share));
    auto sum = threshold::sum_of_shares(parameters, limbs, polynomials, spans);
    if (const auto* fault = std::get_if<threshold::ShareFault>(&sum)) {
        throw ShareError(fault->share, fault->fault);
    }
    return std::get<Share>(std::move(sum));
}

Share share_of(const ckks::Parameters& parameters, std::size_t limbs, std::size_t polynomials,
               const BytesView& bytes) {
    const std::span<const std::uint8_t> span = span_of(bytes);
    auto share = threshold::sum_of_shares(parameters, limbs, polynomials, std::span(&span, 1));
    if (const auto* fault = std::get_if<threshold::ShareFault>(&share)) {
        throw UnpackError(describe(fault->fault));
    }
    return std::get<Share>(std::move(share));
}

ring::Polynomial second_part(const ckks::Parameters& parameters, std::size_t limbs,
                             const BytesView& bytes) {
    auto c1 = threshold::unpack_second_part(parameters.ring(), limbs, span_of(bytes));
    if (const auto* fault = std::get_if<ring::UnpackFault>(&c1)) {
        throw UnpackError(describe(*fault));
    }
    return std::get<ring::Polynomial>(std::move(c1));
}

void bind_parts(nb::module_& m) {
    nb::class_<KeyPart>(m, "KeyPart")
        .def_static("generate", &KeyPart::generate, "parameters"_a,
                    nb::call_guard<nb::gil_scoped_release>())
        .def_static(
            "from_bytes",
            [](const ckks::Parameters& parameters, BytesView bytes) {
                return KeyPart::from_bytes(parameters, span_of(bytes));
            },
            "parameters"_a, "data"_a)
        .def_static(
            "expanded",
            [](const ckks::Parameters& parameters, BytesView seed) {
                ring::Seed secret = to_seed(span_of(seed));
                KeyPart result = unlocked([&] { return KeyPart::expanded(parameters, secret); });
                ring::wipe(secret.data(), secret.size());
                return result;
            },
            "parameters"_a, "seed"_a)
        .def("to_bytes",
             [](const KeyPart& self) {
                 std::vector<std::uint8_t> bytes = self.to_bytes();
                 const nb::bytes result = to_bytes(bytes);
                 ring::wipe(bytes.data(), bytes.size());
                 return result;
             })
        .def(
            "shifted",
            [](const KeyPart& self, const ByteViews& add, const ByteViews& subtract) {
                std::vector<ring::Seed> added = to_seeds(add), subtracted = to_seeds(subtract);
                KeyPart result = unlocked([&] { return self.shifted(added, subtracted); });
                for (std::vector<ring::Seed>* seeds : {&added, &subtracted}) {
                    ring::wipe(seeds->data(), seeds->size() * sizeof(ring::Seed));
                }
                return result;
            },
            "add"_a, "subtract"_a);
}

void bind_collective_keys(nb::module_& m) {
    m.def(
        "public_key_share",
        [](const ckks::Parameters& parameters, const KeyPart& part, BytesView seed,
           std::size_t limbs) {
            return to_bytes(unlocked([&] {
                return threshold::pack_share(
                    threshold::public_key_share(parameters, part, to_seed(span_of(seed)), limbs));
            }));
        },
        "parameters"_a, "part"_a, "seed"_a, "limbs"_a);
    m.def(
        "is_public_key_share_of",
        [](const ckks::Parameters& parameters, const KeyPart& part, BytesView seed,
           std::size_t limbs, BytesView share) {
            return unlocked([&] {
                return threshold::is_public_key_share_of(parameters, part, to_seed(span_of(seed)),
                                                         share_of(parameters, limbs, 1, share));
            });
        },
        "parameters"_a, "part"_a, "seed"_a, "limbs"_a, "share"_a);
    m.def(
        "combine_public_key",
        [](const ckks::Parameters& parameters, BytesView seed, std::size_t limbs,
           const ByteViews& shares) {
            return unlocked([&] {
                return threshold::collective_public_key(parameters, to_seed(span_of(seed)),
                                                        sum_of(parameters, limbs, 1, shares));
            });
        },
        "parameters"_a, "seed"_a, "limbs"_a, "shares"_a);
    m.def(
        "galois_key_share",
        [](const ckks::Parameters& parameters, const KeyPart& part, BytesView seed,
           std::uint64_t element, std::size_t limbs) {
            return to_bytes(unlocked([&] {
                return ckks::pack_switching_key(threshold::galois_key_share(
                    parameters, part, to_seed(span_of(seed)), element, limbs));
            }));
        },
        "parameters"_a, "part"_a, "seed"_a, "element"_a, "limbs"_a);
    m.def(
        "combine_galois_key",
        [](const ckks::Parameters& parameters, BytesView seed, std::uint64_t element,
           std::size_t limbs, const ByteViews& shares) {
            return unlocked([&] {
                return threshold::collective_galois_key(
                    parameters, to_seed(span_of(seed)), element,
                    sum_of(parameters, limbs, threshold::digits_of(parameters, limbs), shares));
            });
        },
        "parameters"_a, "seed"_a, "element"_a, "limbs"_a, "shares"_a);
}

void bind_relinearisation(nb::module_& m) {
    nb::class_<RelinearisationRound>(m, "RelinearisationRound")
        .def_static(
            "begin",
            [](const ckks::Parameters& parameters, const KeyPart& part, BytesView seed,
               std::size_t limbs) {
                auto [round, share] = unlocked([&] {
                    auto [first, polynomials] = RelinearisationRound::begin(
                        parameters, part, to_seed(span_of(seed)), limbs);
                    return std::pair(std::move(first), threshold::pack_share(polynomials));
                });
                return nb::make_tuple(std::move(round), to_bytes(share));
            },
            "parameters"_a, "part"_a, "seed"_a, "limbs"_a)
        .def(
            "finish",
            [](RelinearisationRound& self, const ckks::Parameters& parameters, const KeyPart& part,
               std::size_t limbs, BytesView sum) {
                return to_bytes(unlocked([&] {
                    const std::size_t polynomials = 2 * threshold::digits_of(parameters, limbs);
                    return threshold::pack_share(
                        self.finish(part, share_of(parameters, limbs, polynomials, sum)));
                }));
            },
            "parameters"_a, "part"_a, "limbs"_a, "sum"_a);
    m.def(
        "combine_first_round",
        [](const ckks::Parameters& parameters, std::size_t limbs, const ByteViews& shares) {
            return to_bytes(unlocked([&] {
                const std::size_t polynomials = 2 * threshold::digits_of(parameters, limbs);
                return threshold::pack_share(sum_of(parameters, limbs, polynomials, shares));
            }));
        },
        "parameters"_a, "limbs"_a, "shares"_a);
    m.def(
        "combine_relinearisation_key",
        [](const ckks::Parameters& parameters, std::size_t limbs, BytesView first,
           const ByteViews& second) {
            return to_array(unlocked([&] {
                const std::size_t digits = threshold::digits_of(parameters, limbs);
                const ring::Words words = threshold::collective_relinearisation_key(
                    parameters, share_of(parameters, limbs, 2 * digits, first),
                    sum_of(parameters, limbs, digits, second));
                return std::vector<std::uint64_t>(words.begin(), words.end());
            }));
        },
        "parameters"_a, "limbs"_a, "first"_a, "second"_a);
}

void bind_decryption(nb::module_& m) {
    using WordsView = View<std::uint64_t>;
    m.def(
        "decryption_share",
        [](const ckks::Parameters& parameters, const std::vector<const KeyPart*>& parts,
           std::size_t limbs, BytesView c1, PositionsView positions, double log_sigma) {
            const std::size_t count = positions.size();
            return to_array(unlocked([&] {
                                return threshold::decryption_share(
                                    parameters, all_of(parts), second_part(parameters, limbs, c1),
                                    copied(positions), log_sigma);
                            }),
                            {limbs, count});
        },
        "parameters"_a, "parts"_a, "limbs"_a, "c1"_a, "positions"_a, "log_sigma"_a);
    m.def(
        "decrypt_raw_jointly",
        [](const ckks::Ciphertext& ciphertext, const std::vector<const KeyPart*>& parts) {
            return unlocked(
                [&] { return threshold::decrypt_raw_jointly(ciphertext, all_of(parts)); });
        },
        "ciphertext"_a, "parts"_a);
    m.def(
        "sum_centred",
        [](const ckks::Parameters& parameters, std::size_t limbs, std::size_t count,
           const std::vector<WordsView>& summands, double scale) {
            std::vector<std::span<const std::uint64_t>> spans;
            for (const WordsView& words : summands) spans.push_back(span_of(words));
            return to_array(threshold::sum_centred(parameters, limbs, count, spans, scale));
        },
        "parameters"_a, "limbs"_a, "count"_a, "summands"_a, "scale"_a);
    m.def(
        "first_part_at",
        [](const ckks::Ciphertext& ciphertext, PositionsView positions) {
            const std::size_t count = positions.size();
            return to_array(unlocked([&] {
                                ring::Polynomial c0 = ciphertext.c0;
                                c0.to_coefficients();
                                return threshold::residues_at(c0, copied(positions));
                            }),
                            {ciphertext.c0.limbs(), count});
        },
        "ciphertext"_a, "positions"_a);
}

}  // namespace

void bind_threshold(nb::module_& m) {
    nb::exception<ShareError>(m, "ShareError", m.attr("UnpackError").ptr());
    bind_parts(m);
    bind_collective_keys(m);
    bind_relinearisation(m);
    bind_decryption(m);
}

}  // namespace strongroom
