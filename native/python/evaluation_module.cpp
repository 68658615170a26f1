// Evaluation keys and what is computed with them, for Python.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <utility>
#include <variant>

#include "ckks/evaluation.hpp"
#include "ckks/linear_transform.hpp"
#include "ckks/products.hpp"
#include "ckks/switching_key_bytes.hpp"
#include "python/modules.hpp"
#include "python/packing.hpp"
#include "ring/parallel.hpp"

namespace strongroom {

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using WordsView = View<std::uint64_t>;
using MatrixView = nb::ndarray<const std::uint64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Ciphertexts = std::vector<const ckks::Ciphertext*>;
using Keys = std::vector<const ckks::SwitchingKey*>;

// Without the interpreter's lock, on so many threads.
template <class Function>
auto on_threads(std::size_t threads, Function function) {
    nb::gil_scoped_release release;
    const ring::ThreadScope scope(threads);
    return function();
}

ckks::SwitchingKey unpack_key(const ckks::Parameters& parameters, std::uint64_t element,
                              std::size_t limbs, const ring::Seed& seed,
                              std::span<const std::uint8_t> bytes) {
    auto key = ckks::unpack_switching_key(parameters, element, limbs, seed, bytes);
    if (const auto* fault = std::get_if<ring::UnpackFault>(&key)) {
        throw UnpackError(describe(*fault));
    }
    return std::get<ckks::SwitchingKey>(std::move(key));
}

void bind_keys(nb::module_& m) {
    nb::class_<ckks::SwitchingKey>(m, "SwitchingKey")
        .def_static(
            "generate",
            [](const ckks::Parameters& parameters, const ckks::SecretKey& secret,
               std::uint64_t element, std::size_t limbs, std::size_t threads) {
                return on_threads(threads, [&] {
                    return ckks::SwitchingKey::generate(parameters, secret, element, limbs);
                });
            },
            "parameters"_a, "secret"_a, "element"_a, "limbs"_a, "threads"_a)
        .def_static(
            "unpack",
            [](const ckks::Parameters& parameters, std::uint64_t element, std::size_t limbs,
               BytesView seed, BytesView b, std::size_t threads) {
                return on_threads(threads, [&] {
                    return unpack_key(parameters, element, limbs, to_seed(span_of(seed)),
                                      span_of(b));
                });
            },
            "parameters"_a, "element"_a, "limbs"_a, "seed"_a, "b"_a, "threads"_a)
        .def(
            "__init__",
            [](ckks::SwitchingKey* self, const ckks::Parameters& parameters, std::uint64_t element,
               std::size_t limbs, WordsView words) {
                new (self) ckks::SwitchingKey(parameters, element, limbs, span_of(words));
            },
            // Never of a converted copy, which nobody would keep alive.
            "parameters"_a, "element"_a, "limbs"_a, "words"_a.noconvert(), nb::keep_alive<1, 5>())
        .def_prop_ro("element", &ckks::SwitchingKey::element)
        .def_prop_ro("limbs", &ckks::SwitchingKey::limbs)
        .def_prop_ro("digits", &ckks::SwitchingKey::digits)
        .def_prop_ro("seed",
                     [](const ckks::SwitchingKey& self) -> std::optional<nb::bytes> {
                         if (!self.seed()) return std::nullopt;
                         return nb::bytes(self.seed()->data(), self.seed()->size());
                     })
        .def_prop_ro(
            "words",
            [](const ckks::SwitchingKey& self) {
                return nb::ndarray<nb::numpy, const std::uint64_t>(self.words().data(),
                                                                   {self.words().size()});
            },
            nb::rv_policy::reference_internal)
        .def("pack_b", [](const ckks::SwitchingKey& self) {
            const std::vector<std::uint8_t> bytes =
                on_threads(1, [&] { return ckks::pack_switching_key(self); });
            return nb::bytes(bytes.data(), bytes.size());
        });
    m.def("switching_key_words", &ckks::SwitchingKey::size, "parameters"_a, "limbs"_a);
    m.def("switching_key_packed_bytes", &ckks::packed_switching_key_bytes, "parameters"_a,
          "limbs"_a);
}

}  // namespace

void bind_evaluation(nb::module_& m) {
    bind_keys(m);
    m.def(
        "multiply_plain",
        [](const ckks::Ciphertext& ciphertext, const ckks::Plaintext& plaintext,
           std::size_t threads) {
            return on_threads(threads, [&] { return ckks::multiply_plain(ciphertext, plaintext); });
        },
        "ciphertext"_a, "plaintext"_a, "threads"_a);
    m.def(
        "rescale",
        [](const ckks::Ciphertext& ciphertext, std::size_t drop, std::size_t threads) {
            return on_threads(threads, [&] { return ckks::rescale(ciphertext, drop); });
        },
        "ciphertext"_a, "drop"_a, "threads"_a);
    m.def(
        "linear_combination",
        [](const ckks::Parameters& parameters, const Ciphertexts& ciphertexts, MatrixView factors,
           WordsView offsets, std::size_t threads) {
            return on_threads(threads, [&] {
                return ckks::linear_combination(parameters, all_of(ciphertexts),
                                                {factors.data(), factors.size()}, span_of(offsets));
            });
        },
        "parameters"_a, "ciphertexts"_a, "factors"_a, "offsets"_a, "threads"_a);
    m.def(
        "sum_of_products",
        [](const ckks::Parameters& parameters, const Ciphertexts& a, const Ciphertexts& b,
           const ckks::SwitchingKey& key, std::size_t drop, std::size_t threads) {
            return on_threads(threads, [&] {
                return ckks::sum_of_products(parameters, all_of(a), all_of(b), key, drop);
            });
        },
        "parameters"_a, "a"_a, "b"_a, "key"_a, "drop"_a, "threads"_a);
    m.def(
        "apply_automorphism",
        [](const ckks::Parameters& parameters, const ckks::Ciphertext& ciphertext,
           const ckks::SwitchingKey& key, std::size_t threads) {
            return on_threads(
                threads, [&] { return ckks::apply_automorphism(parameters, ciphertext, key); });
        },
        "parameters"_a, "ciphertext"_a, "key"_a, "threads"_a);
    m.def(
        "add_automorphism",
        [](const ckks::Parameters& parameters, const ckks::Ciphertext& ciphertext,
           const ckks::SwitchingKey& key, const ckks::Ciphertext& added, std::size_t threads) {
            return on_threads(threads, [&] {
                return ckks::add_automorphism(parameters, ciphertext, key, added);
            });
        },
        "parameters"_a, "ciphertext"_a, "key"_a, "added"_a, "threads"_a);
    m.def(
        "apply_automorphisms",
        [](const ckks::Parameters& parameters, const ckks::Ciphertext& ciphertext, const Keys& keys,
           std::size_t threads) {
            return on_threads(threads, [&] {
                return ckks::apply_automorphisms(parameters, ciphertext, all_of(keys));
            });
        },
        "parameters"_a, "ciphertext"_a, "keys"_a, "threads"_a);
    nb::class_<ckks::Diagonals>(m, "Diagonals")
        .def(nb::init<const ckks::Parameters&, std::size_t, std::vector<bool>, unsigned>(),
             "parameters"_a, "limbs"_a, "present"_a, "log_run"_a)
        .def("set", &ckks::Diagonals::set, "place"_a, "plaintext"_a)
        .def_prop_ro("log_run", &ckks::Diagonals::log_run)
        .def_prop_ro("bytes", &ckks::Diagonals::bytes);
    m.def(
        "transform_plain",
        [](const ckks::Parameters& parameters, const Ciphertexts& inputs, const Keys& babies,
           const Keys& giants, const ckks::Diagonals& diagonals, bool chained, std::size_t drop,
           std::size_t threads) {
            return on_threads(threads, [&] {
                return ckks::transform(parameters, all_of(inputs),
                                       ckks::PlainTransform{babies, giants, diagonals, chained},
                                       drop);
            });
        },
        "parameters"_a, "inputs"_a, "babies"_a, "giants"_a, "diagonals"_a, "chained"_a, "drop"_a,
        "threads"_a);
    m.def(
        "transform_encrypted",
        [](const ckks::Parameters& parameters, const Ciphertexts& inputs, const Keys& babies,
           const Keys& giants, const Ciphertexts& diagonals, bool chained,
           const ckks::SwitchingKey& relinearisation, std::size_t drop, std::size_t threads) {
            return on_threads(threads, [&] {
                return ckks::transform(parameters, all_of(inputs),
                                       ckks::EncryptedTransform{babies, giants, diagonals, chained},
                                       relinearisation, drop);
            });
        },
        "parameters"_a, "inputs"_a, "babies"_a, "giants"_a, "diagonals"_a, "chained"_a,
        "relinearisation"_a, "drop"_a, "threads"_a);
}

}  // namespace strongroom
