// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/gguf_header.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <limits>

namespace quantloupe {
namespace {

constexpr std::uint64_t kMaxCount = 1'000'000;
constexpr std::uint64_t kMaxKey = 65'535;
constexpr std::uint64_t kMaxTensorName = 63;
constexpr std::uint32_t kMaxAlignment = 65'536;
constexpr std::uint64_t kMaxMetadata = std::uint64_t {256} << 20U;
// The shortest encodings: a key of one byte with a one-byte value; a tensor with a one-byte name and no extents.
constexpr std::uint64_t kMinEntry = 8 + 1 + 4 + 1;
constexpr std::uint64_t kMinTensor = 8 + 1 + 4 + 4 + 8;

/// Tensor types by their numbers in the file; F32 doubles as "removed or never used" except for number 0.
constexpr std::array kTensorTypes {DType::F32, DType::F16, DType::Q4_0, DType::Q4_1, DType::F32, DType::F32,
    DType::Q5_0, DType::Q5_1, DType::Q8_0, DType::Q8_1, DType::Q2_K, DType::Q3_K, DType::Q4_K, DType::Q5_K, DType::Q6_K,
    DType::Q8_K, DType::IQ2_XXS, DType::IQ2_XS, DType::IQ3_XXS, DType::IQ1_S, DType::IQ4_NL, DType::IQ3_S, DType::IQ2_S,
    DType::IQ4_XS, DType::I8, DType::I16, DType::I32, DType::I64, DType::F64, DType::IQ1_M, DType::BF16, DType::F32,
    DType::F32, DType::F32, DType::TQ1_0, DType::TQ2_0, DType::F32, DType::F32, DType::F32, DType::MXFP4, DType::NVFP4,
    DType::Q1_0, DType::Q2_0};
static_assert(kTensorTypes.size() == 43);

std::optional<DType> typeOf(std::uint32_t number)
{
    if (number >= kTensorTypes.size() || (number != 0 && kTensorTypes[number] == DType::F32))
        return std::nullopt;
    return kTensorTypes[number];
}

/// Rounds up to a multiple; nullopt on overflow.
std::optional<std::uint64_t> padded(std::uint64_t size, std::uint64_t alignment)
{
    std::uint64_t sum = 0;
    if (__builtin_add_overflow(size, alignment - 1, &sum))
        return std::nullopt;
    return sum / alignment * alignment;
}

class HeaderReader
{
public:
    HeaderReader(Bytes file, const std::string& where)
        : m_size(file.size())
        , m_cursor(file)
        , m_where(where)
    {
    }

    Result<GgufHeader> read()
    {
        return readStart()
            .and_then([this] { return readMetadata(); })
            .and_then([this] { return readAlignment(); })
            .and_then([this] { return readTensors(); })
            .and_then([this] { return placeTensors(); })
            .map([this] { return std::move(m_header); });
    }

private:
    tl::unexpected<Error> refuse(ErrorCode code, std::uint64_t offset, std::string reason) const
    {
        return failure(code, m_where, std::move(reason), offset);
    }
    tl::unexpected<Error> malformed(std::uint64_t offset, std::string reason) const
    {
        return refuse(ErrorCode::Malformed, offset, std::move(reason));
    }
    tl::unexpected<Error> truncated(const std::string& what) const
    {
        return refuse(ErrorCode::Truncated, m_cursor.offset(), "the file ends inside " + what);
    }

    Result<void> readStart()
    {
        const auto magic = m_cursor.read<std::uint32_t>();
        const auto version = m_cursor.read<std::uint32_t>();
        if (!magic || !version)
            return truncated("the first 8 bytes");
        m_header.version = *version;
        if ((*version & 0xFFFFU) == 0 && *version != 0)
            return refuse(ErrorCode::Unsupported, 4, "a big-endian GGUF file: convert it to little-endian first");
        if (*version == 1)
            return refuse(
                ErrorCode::Unsupported, 4, "GGUF version 1: convert the model again with a current llama.cpp");
        if (*version != 2 && *version != 3)
            return refuse(ErrorCode::Unsupported, 4,
                "GGUF version " + std::to_string(*version) + "; versions 2 and 3 can be read");
        return readCount("tensors", kMinTensor, m_tensorCount).and_then([this] {
            return readCount("metadata keys", kMinEntry, m_keyCount);
        });
    }

    Result<void> readCount(const std::string& what, std::uint64_t smallest, std::uint64_t& count)
    {
        const auto offset = m_cursor.offset();
        const auto number = m_cursor.read<std::int64_t>();
        if (!number)
            return truncated("the number of " + what);
        if (*number < 0)
            return malformed(offset, "a negative number of " + what);
        count = static_cast<std::uint64_t>(*number);
        const auto text = std::to_string(count) + " " + what;
        if (count > m_cursor.remaining() / smallest)
            return refuse(ErrorCode::Truncated, offset,
                text + ", but only " + std::to_string(m_cursor.remaining()) + " bytes follow");
        if (count > kMaxCount)
            return malformed(offset, text + ", more than a million");
        return {};
    }

    /// A name that may serve as a key: not empty, at most `limit` bytes, valid UTF-8 without NUL.
    Result<std::string_view> readName(const std::string& what, std::uint64_t limit)
    {
        const auto offset = m_cursor.offset();
        auto ahead = m_cursor;
        const auto length = ahead.read<std::uint64_t>();
        if (length && *length > limit)
            return malformed(
                offset, what + " of " + std::to_string(*length) + " bytes, more than " + std::to_string(limit));
        const auto name = m_cursor.readText();
        if (!name)
            return truncated(what);
        if (name->empty())
            return malformed(offset, what + " of 0 bytes");
        if (!isValidUtf8(*name) || name->find('\0') != std::string_view::npos)
            return malformed(offset + 8, what + " " + inQuotes(*name) + " is not valid UTF-8 text");
        return *name;
    }

    Result<void> readMetadata()
    {
        const auto start = m_cursor.offset();
        for (std::uint64_t i = 0; i < m_keyCount; ++i) {
            m_offsets.push_back(m_cursor.offset());
            const auto key = readName("a metadata key", kMaxKey);
            if (!key)
                return tl::unexpected(key.error());
            auto value = readGgufValue(m_cursor, m_where, *key);
            if (!value)
                return tl::unexpected(std::move(value.error()));
            if (m_cursor.offset() - start > kMaxMetadata)
                return malformed(start, "more than 256 MiB of metadata");
            m_header.metadata.push_back({std::string(*key), *value});
        }
        return refuseTwins(
            m_header.metadata, "metadata key", [](const GgufEntry& entry) -> const std::string& { return entry.key; });
    }

    Result<void> readAlignment()
    {
        const auto* value = m_header.find("general.alignment");
        if (!value)
            return {};
        const auto alignment = wholeNumber(*value);
        if (value->type != GgufType::U32 || !alignment || *alignment == 0 || (*alignment & (*alignment - 1)) != 0)
            return malformed(
                value->offset, "general.alignment is " + displayed(*value) + ", not a power of two of type u32");
        if (*alignment > kMaxAlignment)
            return malformed(value->offset, "general.alignment is " + displayed(*value) + ", more than 65,536");
        m_alignment = *alignment;
        return {};
    }

    Result<void> readTensors()
    {
        m_offsets.clear();
        for (std::uint64_t i = 0; i < m_tensorCount; ++i) {
            m_offsets.push_back(m_cursor.offset());
            GgufTensor tensor;
            tensor.offset = m_cursor.offset();
            const auto name = readName("a tensor name", kMaxTensorName);
            if (!name)
                return tl::unexpected(name.error());
            tensor.name = *name;
            auto read = readExtents(tensor).and_then([&] { return readType(tensor); });
            if (!read)
                return read;
            m_header.tensors.push_back(std::move(tensor));
        }
        return refuseTwins(
            m_header.tensors, "tensor", [](const GgufTensor& tensor) -> const std::string& { return tensor.name; });
    }

    tl::unexpected<Error> malformedTensor(const GgufTensor& tensor, std::uint64_t offset, const std::string& what) const
    {
        return malformed(offset, "tensor " + inQuotes(tensor.name) + ": " + what);
    }

    Result<void> readExtents(GgufTensor& tensor)
    {
        const auto offset = m_cursor.offset();
        const auto rank = m_cursor.read<std::uint32_t>();
        if (!rank)
            return truncated("a tensor's description");
        if (*rank > 4)
            return malformedTensor(tensor, offset, std::to_string(*rank) + " dimensions, more than 4");
        for (std::uint32_t i = 0; i < *rank; ++i) {
            const auto extentOffset = m_cursor.offset();
            const auto extent = m_cursor.read<std::int64_t>();
            if (!extent)
                return truncated("a tensor's description");
            if (*extent < 0)
                return malformedTensor(tensor, extentOffset, "a negative dimension");
            tensor.shape.push_back(static_cast<std::uint64_t>(*extent));
        }
        std::reverse(tensor.shape.begin(), tensor.shape.end());
        const auto elements = elementCount(tensor.shape);
        if (!elements || *elements >= std::uint64_t {std::numeric_limits<std::int64_t>::max()})
            return malformedTensor(tensor, offset, "the product of the dimensions overflows");
        return {};
    }

    Result<void> readType(GgufTensor& tensor)
    {
        const auto offset = m_cursor.offset();
        const auto number = m_cursor.read<std::uint32_t>();
        const auto begin = m_cursor.read<std::uint64_t>();
        if (!number || !begin)
            return truncated("a tensor's description");
        const auto type = typeOf(*number);
        if (!type)
            return refuse(ErrorCode::Unsupported, offset,
                "tensor " + inQuotes(tensor.name) + ": tensor type " + std::to_string(*number)
                    + " is not one of ggml's");
        tensor.dtype = *type;
        tensor.begin = *begin;
        const auto row = tensor.shape.empty() ? std::uint64_t {1} : tensor.shape.back();
        const auto& traits = traitsOf(*type);
        if (row % traits.blockElements != 0) {
            return malformedTensor(tensor, offset,
                "rows of " + std::to_string(row) + " elements are not whole blocks of " + std::string(traits.name));
        }
        const auto bytes = byteCount(*elementCount(tensor.shape), *type);
        if (!bytes)
            return malformedTensor(tensor, offset, "its size overflows");
        tensor.bytes = *bytes;
        return {};
    }

    /// The data section holds the tensors in the order of the header, each padded to the alignment, without holes.
    Result<void> placeTensors()
    {
        const auto start = padded(m_cursor.offset(), m_alignment).value_or(std::numeric_limits<std::uint64_t>::max());
        std::uint64_t expected = 0;
        std::uint64_t end = m_cursor.offset();
        for (auto& tensor : m_header.tensors) {
            if (tensor.begin != expected) {
                return malformedTensor(tensor, tensor.offset,
                    "its data are said to begin at " + std::to_string(tensor.begin) + " of the data section, not at "
                        + std::to_string(expected) + " behind the tensor before");
            }
            // The padding after the last tensor may be missing; so the file's size is held against the bytes alone.
            if (start > m_size || expected > m_size - start || tensor.bytes > m_size - start - expected) {
                return refuse(ErrorCode::Truncated, tensor.offset,
                    "tensor " + inQuotes(tensor.name) + ": its " + std::to_string(tensor.bytes)
                        + " bytes reach past the end of the file, which has " + std::to_string(m_size));
            }
            tensor.begin = start + expected;
            end = tensor.begin + tensor.bytes;
            expected += *padded(tensor.bytes, m_alignment);  // cannot overflow: the bytes are inside the file
        }
        const auto paddedEnd = padded(end, m_alignment).value_or(end);
        m_header.trailingBytes = m_size > paddedEnd ? m_size - paddedEnd : 0;
        return {};
    }

    /// Sorting instead of a hash table: no choice of names makes it slow.
    template<class Item, class NameOf>
    Result<void> refuseTwins(const std::vector<Item>& items, const std::string& what, NameOf nameOf) const
    {
        std::vector<std::size_t> order(items.size());
        for (std::size_t i = 0; i < order.size(); ++i)
            order[i] = i;
        std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            const auto compared = nameOf(items[a]).compare(nameOf(items[b]));
            return compared != 0 ? compared < 0 : a < b;
        });
        for (std::size_t i = 1; i < order.size(); ++i) {
            const auto& name = nameOf(items[order[i]]);
            if (name == nameOf(items[order[i - 1]]))
                return malformed(m_offsets[order[i]], what + " " + inQuotes(name) + " occurs twice");
        }
        return {};
    }

    std::uint64_t m_size;
    ByteCursor m_cursor;
    const std::string& m_where;
    GgufHeader m_header;
    std::uint64_t m_tensorCount = 0, m_keyCount = 0, m_alignment = 32;
    std::vector<std::uint64_t> m_offsets;  ///< of the items of the list being read
};

}  // namespace

const GgufValue* GgufHeader::find(std::string_view key) const
{
    const auto found =
        std::find_if(metadata.begin(), metadata.end(), [&](const GgufEntry& entry) { return entry.key == key; });
    return found == metadata.end() ? nullptr : &found->value;
}

std::optional<std::uint32_t> ggufTypeNumber(DType type)
{
    const auto* const found = std::find(kTensorTypes.begin(), kTensorTypes.end(), type);
    return found == kTensorTypes.end() ? std::nullopt
                                       : std::optional(static_cast<std::uint32_t>(found - kTensorTypes.begin()));
}

Result<GgufHeader> readGgufHeader(Bytes file, const std::string& where)
{
    return HeaderReader(file, where).read();
}

}  // namespace quantloupe
