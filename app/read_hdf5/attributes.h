// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/read_hdf5/answer.h"

#include <hdf5.h>

#include <string>
#include <vector>

namespace quantloupe::read_hdf5 {

/// Answers with those attributes of a group that Keras writes (and with the one that marks a study of ours): a record
/// each, without texts where the attribute holds none.
void sendKerasAttributes(hid_t group, const std::string& path, Answer& answer);

/// All texts of an attribute, of fixed or variable length; none when it holds something else. Throws Refusal when it
/// cannot be read or is larger than it may be. @pre the attribute exists
std::vector<std::string> textsOf(hid_t object, const char* attribute);

}  // namespace quantloupe::read_hdf5
