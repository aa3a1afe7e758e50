// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/hdf5_file.h"
#include "core/file_formats/keras_layers.h"

#include <filesystem>

namespace quantloupe {

/// Makes a model of an HDF5 file: the weights of Keras in its legacy or its third layout, else every array of numbers
/// under its path. Nothing but the list is read; what does not lie in the file as it is becomes DeferredBytes. `path`
/// is the file that the user opened, `described` what is known of the model from elsewhere, perhaps nothing. Errors: as
/// Hdf5File::contents(); NotThisFormat when there is nothing to look at.
Result<Model> readHdf5Model(const Hdf5FilePointer& file, const std::filesystem::path& path, const std::stop_token& stop,
    KerasLayer described = {});

/// The same of what the file is known to hold.
Result<Model> hdf5ModelOf(const Hdf5Contents& contents, const Hdf5FilePointer& file, const std::filesystem::path& path,
    KerasLayer described = {});

/// Where an HDF5 file begins in its first bytes, behind a block of the user's; nullopt when they are not one.
std::optional<std::uint64_t> findHdf5(Bytes head);

}  // namespace quantloupe
