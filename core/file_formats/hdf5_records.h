// SPDX-License-Identifier: GPL-3.0-or-later
// What quantloupe-read-hdf5 answers. It is started as
//     quantloupe-read-hdf5 list OFFSET BYTES            what the HDF5 file at OFFSET of its input holds
//     quantloupe-read-hdf5 read OFFSET BYTES DATASET    the elements of one dataset, little-endian, in order
// A text is its length as u64 and its bytes; numbers are little-endian.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quantloupe {

enum class Hdf5Record : std::uint32_t {
    Dataset = 1,  ///< text path, u8 DType, u8 storage, u64 offset, u64 rank, u64 extents…,
                  ///< u64 count, of as many pieces of stored bytes: u64 offset, u64 bytes
    Attribute,    ///< text path of the object, text name, u64 count, texts; no texts when it holds none
    Others,       ///< datasets that are left out: u64 that hold no plain numbers, u64 that were never written
    Elements,     ///< bytes of a dataset, the next ones
    End,          ///< all is said
    Failed,       ///< u8 ErrorCode, text reason
};

/// An offset that is not known.
constexpr std::uint64_t kHdf5Nowhere = UINT64_MAX;

/// Where the elements of a dataset are. `offset` counts from the start of the HDF5 file.
enum class Hdf5Storage : std::uint8_t {
    InPlace,  ///< one after the other from `offset` on, and little-endian
    Packed,   ///< to be asked for: in chunks, compressed, big-endian, or inside a header; the pieces are
              ///< what they are unpacked from, or some of many chunks at even distances
};

/// Bounds that both sides keep. Source: interop notes, section 0.2.
constexpr std::size_t kHdf5MaxObjects = 1'000'000;
constexpr std::size_t kHdf5MaxRank = 8;
constexpr std::size_t kHdf5MaxStored = 32;
constexpr std::size_t kHdf5MaxDepth = 64;
constexpr std::size_t kHdf5MaxName = 65'535;
constexpr std::size_t kHdf5MaxText = std::size_t {64} << 20;
constexpr std::size_t kHdf5ElementsAtOnce = std::size_t {1} << 20;

}  // namespace quantloupe
