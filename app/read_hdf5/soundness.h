// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <hdf5.h>

#include <string>

namespace quantloupe::read_hdf5 {

/// Looks at what listing would pass by, and throws Refusal, naming `path`, where it is damaged: whatever made such a
/// file, its numbers are not to be relied on. Damaged are types whose parts do not fit (integers of more bits than
/// bytes, references of no known kind, members outside of their compound), attributes that cannot be read, references
/// to what is not there, and chunks larger than a dataset that cannot grow.
void checkAttributes(hid_t object, const std::string& path);
void checkDataset(hid_t dataset, const std::string& path);
void checkNamedType(hid_t type, const std::string& path);

}  // namespace quantloupe::read_hdf5
