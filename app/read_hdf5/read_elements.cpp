// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/read_hdf5/read_elements.h"

#include "app/read_hdf5/dataset_facts.h"
#include "app/read_hdf5/refusal.h"

#include <algorithm>

namespace quantloupe::read_hdf5 {
namespace {

/// Bytes of a block: usually, and where a row of chunks takes more.
constexpr hsize_t kBlock = hsize_t {16} << 20;
constexpr hsize_t kLargestBlock = hsize_t {64} << 20;

/// Blocks are ranges of one axis, with all that lies inside it and one index of every axis outside.
struct Blocks {
    std::size_t axis = 0;
    hsize_t inner = 1;   ///< elements at one index of the axis
    hsize_t atOnce = 1;  ///< indices of the axis in a block
};

/// @pre rank ≥ 1, no extent is 0
Blocks blocksOf(const DatasetFacts& facts, hsize_t elementBytes)
{
    const auto rank = facts.extents.size();
    Blocks blocks;
    blocks.axis = rank - 1;
    while (blocks.axis > 0) {
        hsize_t larger;
        if (__builtin_mul_overflow(blocks.inner, facts.extents[blocks.axis], &larger)
            || larger > kLargestBlock / elementBytes)
            break;
        blocks.inner = larger;
        --blocks.axis;
    }
    const auto bytes = blocks.inner * elementBytes;
    const auto chunk = facts.chunks.empty() ? 1 : facts.chunks[blocks.axis];
    const auto usual = std::max<hsize_t>(kBlock / bytes, 1), most = std::max<hsize_t>(kLargestBlock / bytes, 1);
    blocks.atOnce = chunk <= usual ? usual / chunk * chunk : std::min(chunk, most);
    blocks.atOnce = std::min(blocks.atOnce, facts.extents[blocks.axis]);
    return blocks;
}

void send(const std::vector<char>& block, Answer& answer)
{
    for (std::size_t begin = 0; begin < block.size(); begin += kHdf5ElementsAtOnce)
        answer.send(
            Hdf5Record::Elements, std::span(block).subspan(begin, std::min(kHdf5ElementsAtOnce, block.size() - begin)));
}

/// The next index of the axes outside of `axis`; false after the last.
bool advance(std::vector<hsize_t>& start, const std::vector<hsize_t>& extents, std::size_t axis)
{
    while (axis-- > 0) {
        if (++start[axis] < extents[axis])
            return true;
        start[axis] = 0;
    }
    return false;
}

}  // namespace

void readElements(hid_t file, const std::string& path, Answer& answer)
{
    const hdf5::Dataset dataset(H5Dopen2(file, path.c_str(), H5P_DEFAULT));
    if (!dataset)
        throw libraryRefusal("dataset '" + path + "' cannot be opened");
    const auto facts = factsOf(dataset.id(), path);
    if (!facts)
        throw refusal(ErrorCode::Malformed, "dataset", path, "holds no numbers any more");
    if (std::find(facts->extents.begin(), facts->extents.end(), hsize_t {0}) != facts->extents.end())
        return;
    const hsize_t elementBytes = facts->type.bytes;
    std::vector<char> block;
    const auto read = [&](hid_t memory, hid_t stored) {
        if (H5Dread(dataset.id(), facts->type.memory.id(), memory, stored, H5P_DEFAULT, block.data()) < 0)
            throw libraryRefusal("dataset '" + path + "' cannot be read");
        send(block, answer);
    };
    if (facts->extents.empty()) {
        block.resize(elementBytes);
        return read(H5S_ALL, H5S_ALL);
    }
    const auto blocks = blocksOf(*facts, elementBytes);
    const hdf5::Space space(H5Dget_space(dataset.id()));
    std::vector<hsize_t> start(facts->extents.size(), 0), count(start.size(), 1);
    std::copy(facts->extents.begin() + static_cast<std::ptrdiff_t>(blocks.axis) + 1, facts->extents.end(),
        count.begin() + static_cast<std::ptrdiff_t>(blocks.axis) + 1);
    do {
        const auto extent = facts->extents[blocks.axis];
        for (hsize_t first = 0; first < extent; first += blocks.atOnce) {
            start[blocks.axis] = first;
            count[blocks.axis] = std::min(blocks.atOnce, extent - first);
            const hsize_t elements = count[blocks.axis] * blocks.inner;
            const hdf5::Space memory(H5Screate_simple(1, &elements, nullptr));
            if (H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr) < 0)
                throw libraryRefusal("dataset '" + path + "' cannot be read in parts");
            block.resize(static_cast<std::size_t>(elements * elementBytes));
            read(memory.id(), space.id());
        }
        start[blocks.axis] = 0;
    } while (advance(start, facts->extents, blocks.axis));
}

}  // namespace quantloupe::read_hdf5
