// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/read_hdf5/answer.h"

#include <hdf5.h>

#include <string>

namespace quantloupe::read_hdf5 {

/// Answers with all elements of a dataset, little-endian, in order: block after block of whole rows of chunks as far as
/// memory allows, so that few chunks are unpacked twice. Throws Refusal.
void readElements(hid_t file, const std::string& path, Answer& answer);

}  // namespace quantloupe::read_hdf5
