// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/read_hdf5/references.h"

#include <hdf5.h>

#include <string>

namespace quantloupe::read_hdf5 {

/// Looks at what listing would pass by, and throws Refusal, naming `path`, where it is damaged: whatever made such a
/// file, its numbers are not to be relied on. Damaged are types whose parts do not fit (integers of more bits than
/// bytes, references of no known kind, members outside of their compound), attributes that cannot be read, references
/// to what is not there (among the first 65,536 that differ), and chunks larger than a dataset that cannot grow. For
/// one file.
class SoundnessChecks
{
public:
    void checkAttributes(hid_t object, const std::string& path);
    void checkDataset(hid_t dataset, const std::string& path);
    static void checkNamedType(hid_t type, const std::string& path);

private:
    References m_references;
};

}  // namespace quantloupe::read_hdf5
