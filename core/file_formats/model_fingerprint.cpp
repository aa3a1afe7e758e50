// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/model_fingerprint.h"

#include "core/base/hash.h"

#include <algorithm>

namespace quantloupe {
namespace {

constexpr std::uint64_t kWholeModel = std::uint64_t {64} << 20U;
constexpr std::uint64_t kWholeTensor = std::uint64_t {32} << 10U;
constexpr std::uint64_t kPiece = std::uint64_t {4} << 10U;
constexpr std::uint64_t kSpreadPieces = 4'096;
/// Of the tens of thousands of tensors that large mixtures of experts have, as many are looked at each by itself.
constexpr std::size_t kLookedAt = 4'096;

/// What is stored for a tensor, as far as it lies in a file: packed where the tensor must be unpacked first.
std::vector<Bytes> storedBytes(const TensorView& view)
{
    auto parts = view.decoder ? view.decoder->storedBytes() : std::vector<Bytes>();
    if (parts.empty())
        parts.push_back(view.bytes);
    if (view.deferred)
        for (const auto part : view.deferred->storedBytes())
            parts.push_back(part);
    return parts;
}

/// Chooses what is read, by a rule that knows nothing of files.
class Sampler
{
public:
    Sampler(std::uint64_t modelBytes, std::size_t tensors)
        : m_whole(modelBytes <= kWholeModel)
        , m_step((tensors + kLookedAt - 1) / kLookedAt)
        , m_distance(std::max(kPiece, modelBytes / kSpreadPieces))
    {
    }

    void take(std::size_t tensor, Bytes stored, std::vector<Bytes>& pieces)
    {
        const auto size = std::uint64_t {stored.size()};
        const bool lookedAt = tensor % m_step == 0;
        if (m_whole || (lookedAt && size <= kWholeTensor)) {
            pieces.push_back(stored);
        } else if (lookedAt) {
            pieces.push_back(stored.first(kPiece));
            pieces.push_back(stored.last(kPiece));
        }
        if (m_whole)
            return;
        for (; m_next < size; m_next += m_distance)
            pieces.push_back(stored.subspan(m_next, std::min(kPiece, size - m_next)));
        m_next -= size;
    }

private:
    bool m_whole;
    std::size_t m_step;
    std::uint64_t m_distance;
    std::uint64_t m_next = 0;  ///< of the spread pieces, from the start of the bytes that come next
};

/// All requests first, so that a disk answers many at once.
void fetch(std::vector<Bytes> pieces)
{
    std::sort(pieces.begin(), pieces.end(), [](Bytes a, Bytes b) { return a.data() < b.data(); });
    for (const auto piece : pieces)
        readAhead(piece);
}

}  // namespace

std::string fingerprintOf(const Model& model, const std::vector<std::size_t>& order)
{
    std::vector<std::vector<Bytes>> stored;
    stored.reserve(order.size());
    std::uint64_t modelBytes = 0;
    for (const auto index : order) {
        stored.push_back(storedBytes(model.tensors[index].view));
        for (const auto part : stored.back())
            if (__builtin_add_overflow(modelBytes, std::uint64_t {part.size()}, &modelBytes))
                modelBytes = ~std::uint64_t {0};
    }
    Sampler sampler(modelBytes, order.size());
    FingerprintHasher hasher;
    std::vector<Bytes> pieces;
    for (std::size_t i = 0; i < order.size(); ++i) {
        const auto& tensor = model.tensors[order[i]];
        hasher.add(tensor.name);
        hasher.add(nameOf(tensor.view.dtype));
        hasher.add(std::uint64_t {tensor.view.shape.size()});
        for (const auto extent : tensor.view.shape)
            hasher.add(extent);
        if (tensor.view.deferred)
            hasher.add(tensor.view.deferred->digest());
        for (const auto part : stored[i]) {
            hasher.add(std::uint64_t {part.size()});
            sampler.take(i, part, pieces);
        }
    }
    fetch(pieces);
    for (const auto piece : pieces)
        hasher.add(piece);
    return hasher.hex();
}

}  // namespace quantloupe
