// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/read_hdf5/element_type.h"

#include "core/file_formats/hdf5_records.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe::read_hdf5 {

/// Stored bytes, from the start of the HDF5 file.
struct StoredPiece {
    std::uint64_t offset = 0, bytes = 0;
};

/// What it takes to read a dataset.
struct DatasetFacts {
    ElementType type;
    std::vector<hsize_t> extents;  ///< empty for a scalar
    Hdf5Storage storage = Hdf5Storage::Packed;
    std::uint64_t offset = kHdf5Nowhere;  ///< as the records have it
    std::vector<StoredPiece> stored;      ///< likewise
    std::vector<hsize_t> chunks;          ///< extents of a chunk; empty when there are none
    bool neverWritten = false;            ///< nothing of it is in the file
};

/// nullopt when it holds no plain numbers. Throws Refusal, naming `path`, for what is not read: data in other files or
/// datasets, filters, chunks above 256 MiB, more than 8 dimensions.
std::optional<DatasetFacts> factsOf(hid_t dataset, const std::string& path);

}  // namespace quantloupe::read_hdf5
