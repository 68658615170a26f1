// The parts of strongroom._native, one a file.
#pragma once

#include <nanobind/nanobind.h>

namespace strongroom {

void bind_evaluation(nanobind::module_& m);
void bind_threshold(nanobind::module_& m);
void bind_share_proofs(nanobind::module_& m);

}  // namespace strongroom
