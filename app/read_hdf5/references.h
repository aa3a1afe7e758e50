// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/read_hdf5/subject.h"

#include <hdf5.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <utility>

namespace quantloupe::read_hdf5 {

/// Looks up what references of one file lead to, each once, and 65,536 different ones at most: more take longer than a
/// file may.
class References
{
public:
    /// Every reference in one value, as the library laid it out in memory. Throws Refusal where one leads nowhere.
    void follow(hid_t place, hid_t type, const std::byte* value, const Subject& subject);

private:
    using Bytes = std::array<std::byte, std::max(sizeof(hobj_ref_t), sizeof(hdset_reg_ref_t))>;

    void lookUp(hid_t place, H5R_type_t kind, const std::byte* at, std::size_t bytes, const Subject& subject);

    std::set<std::pair<H5R_type_t, Bytes>> m_known;
};

}  // namespace quantloupe::read_hdf5
