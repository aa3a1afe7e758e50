// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/read_hdf5/answer.h"

#include <hdf5.h>

namespace quantloupe::read_hdf5 {

/// Walks through all groups and answers with every dataset, and with the attributes that say where Keras keeps what.
/// Throws Refusal for links that are not hard, groups that contain themselves, datasets that lie elsewhere (external
/// storage, virtual) or are packed by other filters than deflate, shuffle and fletcher32, and whatever the library
/// cannot read.
void listContents(hid_t file, Answer& answer);

}  // namespace quantloupe::read_hdf5
