// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/read_hdf5/dataset_facts.h"

#include "app/read_hdf5/attributes.h"
#include "app/read_hdf5/refusal.h"

#include <algorithm>

namespace quantloupe::read_hdf5 {
namespace {

static_assert(HADDR_UNDEF == kHdf5Nowhere);

constexpr hsize_t kMaxChunk = hsize_t {256} << 20;

bool saysBrainFloat(hid_t dataset)
{
    constexpr const char* kName = "dtype";
    if (H5Aexists(dataset, kName) <= 0)
        return false;
    const auto texts = textsOf(dataset, kName);
    return texts.size() == 1 && texts[0] == "bfloat16";
}

void checkFilters(hid_t creation, const std::string& path)
{
    const int count = H5Pget_nfilters(creation);
    if (count < 0)
        throw libraryRefusal("the filters of dataset '" + path + "' cannot be read");
    for (unsigned i = 0; i < static_cast<unsigned>(count); ++i) {
        unsigned flags = 0, settings = 0;
        std::size_t values = 0;
        const auto filter = H5Pget_filter2(creation, i, &flags, &values, nullptr, 0, nullptr, &settings);
        if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32)
            throw refusal(ErrorCode::Unsupported, "dataset", path,
                "is packed with HDF5 filter " + std::to_string(filter)
                    + "; deflate, shuffle and fletcher32 are built in");
    }
}

std::vector<hsize_t> chunksOf(hid_t creation, const DatasetFacts& facts, const std::string& path)
{
    std::vector<hsize_t> chunks(facts.extents.size());
    const int rank = static_cast<int>(chunks.size());
    if (H5Pget_chunk(creation, rank, chunks.data()) != rank)
        throw libraryRefusal("the chunks of dataset '" + path + "' cannot be read");
    hsize_t bytes = facts.type.bytes;
    for (const auto extent : chunks)
        if (extent == 0 || __builtin_mul_overflow(bytes, extent, &bytes) || bytes > kMaxChunk)
            throw refusal(ErrorCode::Unsupported, "dataset", path, "has chunks larger than 256 MiB");
    return chunks;
}

/// Chunks at even distances in the order of their elements. What the library cannot tell is left out: reading tells.
std::vector<StoredPiece> someChunks(hid_t dataset, const DatasetFacts& facts)
{
    std::vector<hsize_t> along(facts.extents.size()), start(facts.extents.size());
    hsize_t count = 1;
    for (std::size_t i = 0; i < along.size(); ++i) {
        along[i] = facts.extents[i] / facts.chunks[i] + (facts.extents[i] % facts.chunks[i] != 0 ? 1 : 0);
        if (__builtin_mul_overflow(count, along[i], &count))
            return {};
    }
    std::vector<StoredPiece> pieces;
    const auto wanted = std::min<hsize_t>(count, kHdf5MaxStored);
    for (hsize_t k = 0; k < wanted; ++k) {
        // floor(k · count / wanted) without overflow
        auto chunk = count / wanted * k + count % wanted * k / wanted;
        for (std::size_t i = along.size(); i-- > 0; chunk /= along[i])
            start[i] = chunk % along[i] * facts.chunks[i];
        unsigned skipped = 0;
        haddr_t address = HADDR_UNDEF;
        hsize_t bytes = 0;
        if (H5Dget_chunk_info_by_coord(dataset, start.data(), &skipped, &address, &bytes) >= 0
            && address != HADDR_UNDEF)
            pieces.push_back({address, bytes});
    }
    return pieces;
}

}  // namespace

std::optional<DatasetFacts> factsOf(hid_t dataset, const std::string& path)
{
    const hdf5::PropertyList creation(H5Dget_create_plist(dataset));
    const hdf5::Type type(H5Dget_type(dataset));
    const hdf5::Space space(H5Dget_space(dataset));
    if (!creation || !type || !space)
        throw libraryRefusal("dataset '" + path + "' cannot be opened");
    const auto layout = H5Pget_layout(creation.id());
    if (layout == H5D_VIRTUAL)
        throw refusal(ErrorCode::Unsupported, "dataset", path, "is virtual: its elements are in other datasets");
    if (layout == H5D_CONTIGUOUS && H5Pget_external_count(creation.id()) != 0)
        throw refusal(ErrorCode::Unsupported, "dataset", path, "keeps its elements in other files");
    checkFilters(creation.id(), path);

    auto elements = elementTypeOf(type.id(), saysBrainFloat(dataset));
    if (!elements)
        return std::nullopt;
    DatasetFacts facts;
    facts.type = std::move(*elements);
    const auto kind = H5Sget_simple_extent_type(space.id());
    const int rank = H5Sget_simple_extent_ndims(space.id());
    if (rank < 0)
        throw libraryRefusal("the shape of dataset '" + path + "' cannot be read");
    if (static_cast<std::size_t>(rank) > kHdf5MaxRank)
        throw refusal(ErrorCode::Unsupported, "dataset", path, "has more than 8 dimensions");
    facts.extents.resize(static_cast<std::size_t>(rank));
    if (H5Sget_simple_extent_dims(space.id(), facts.extents.data(), nullptr) != rank)
        throw libraryRefusal("the shape of dataset '" + path + "' cannot be read");
    if (kind == H5S_NULL)
        facts.extents = {0};
    if (layout == H5D_CHUNKED)
        facts.chunks = chunksOf(creation.id(), facts, path);
    if (layout == H5D_CONTIGUOUS) {
        facts.offset = H5Dget_offset(dataset);
        if (facts.offset != kHdf5Nowhere && facts.type.littleEndian)
            facts.storage = Hdf5Storage::InPlace;
        else if (facts.offset != kHdf5Nowhere)
            facts.stored.push_back({facts.offset, H5Dget_storage_size(dataset)});
    } else if (layout == H5D_CHUNKED) {
        facts.stored = someChunks(dataset, facts);
    }
    facts.neverWritten =
        layout != H5D_COMPACT && H5Sget_simple_extent_npoints(space.id()) > 0 && H5Dget_storage_size(dataset) == 0;
    return facts;
}

}  // namespace quantloupe::read_hdf5
