// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/file_format.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace quantloupe {

/// An array of numbers in an HDF5 file.
struct Hdf5Dataset {
    std::string path;  ///< from the root, without the slash in front
    DType dtype = DType::F32;
    Shape shape;
    std::uint64_t bytes = 0;                 ///< of all elements
    std::optional<std::uint64_t> offset {};  ///< from the start of the mapped file, where they lie there as they are
    std::vector<Bytes> stored {};            ///< otherwise (some of) the bytes they are unpacked from, if any
};

/// What an HDF5 file says about itself.
struct Hdf5Contents {
    std::vector<Hdf5Dataset> datasets;  ///< paths are unique
    /// By path of the group ("" is the root) and name: those attributes that Keras writes. Without texts where one
    /// holds something else.
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> attributes;
    std::uint64_t others = 0;        ///< datasets that hold no plain numbers
    std::uint64_t neverWritten = 0;  ///< datasets without a place in the file
};

/// An HDF5 file, or a part of a file that is one. The HDF5 library, which breaks down on some damaged files, looks at
/// it in a program of its own; what that program answers is checked here like any file.
class Hdf5File
{
public:
    /// Opens nothing but the descriptor. `where` names it in errors. @pre begin + size ≤ the size of the file
    static Result<std::shared_ptr<const Hdf5File>> open(
        const MappedFilePointer& file, std::uint64_t begin, std::uint64_t size, std::string where);

    /// Errors: Malformed (damaged, or the library breaks down on it), Truncated, Unsupported (links by name, data in
    /// other files, other filters than deflate, shuffle and fletcher32), CannotOpen (the program is missing),
    /// Cancelled.
    Result<Hdf5Contents> contents(std::stop_token stop) const;

    /// Hands the elements of a dataset to `sink`, little-endian, in order. Errors: as contents(), and those of `sink`.
    Result<void> read(const std::string& dataset, const ByteSink& sink, std::stop_token stop) const;

    const MappedFilePointer& map() const { return m_map; }
    const std::string& where() const { return m_where; }

private:
    Hdf5File(MappedFilePointer map, Descriptor descriptor, std::uint64_t begin, std::uint64_t size, std::string where);
    std::vector<std::string> arguments(std::string request) const;

    MappedFilePointer m_map;
    Descriptor m_descriptor;
    std::uint64_t m_begin, m_size;
    std::string m_where;
};

using Hdf5FilePointer = std::shared_ptr<const Hdf5File>;

}  // namespace quantloupe
