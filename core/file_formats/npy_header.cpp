// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/npy_header.h"

#include "core/base/byte_cursor.h"
#include "core/base/text.h"

#include <charconv>
#include <string_view>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::string_view kNpyMagic = "\x93NUMPY";
constexpr std::size_t kMaxNpyRank = 8;

constexpr std::pair<std::string_view, DType> kNumpyTypes[] = {{"f2", DType::F16}, {"f4", DType::F32},
    {"f8", DType::F64}, {"b1", DType::Bool}, {"i1", DType::I8}, {"i2", DType::I16}, {"i4", DType::I32},
    {"i8", DType::I64}, {"u1", DType::U8}, {"u2", DType::U16}, {"u4", DType::U32}, {"u8", DType::U64},
    {"c8", DType::C64}};

/// Reads the dictionary of three keys as Python writes it, and nothing else that Python could.
class NpyDictionary
{
public:
    NpyDictionary(std::string_view text, const std::string& where, std::uint64_t base)
        : m_text(text)
        , m_where(where)
        , m_base(base)
    {
    }

    Result<void> read(NpyHeader& header)
    {
        if (!take('{'))
            return refuse("the header is not a dictionary");
        bool hasType = false, hasOrder = false, hasShape = false;
        while (!take('}')) {
            const auto key = quoted();
            if (!key || !take(':'))
                return refuse("the header's dictionary has no key where it should");
            bool* seen = *key == "descr"  ? &hasType
                : *key == "fortran_order" ? &hasOrder
                : *key == "shape"         ? &hasShape
                                          : nullptr;
            if (!seen || *seen)
                return refuse("the header has the key " + inQuotes(*key) + (seen ? " twice" : ", which is unknown"));
            *seen = true;
            auto value = *key == "descr" ? type(header)
                : *key == "shape"        ? shape(header.shape)
                                         : order(header.fortranOrder);
            if (!value)
                return value;
            if (!take(',') && peek() != '}')
                return refuse("the header's dictionary does not go on with a comma");
        }
        skipSpace();
        if (m_at != m_text.size())
            return refuse("the header goes on after its dictionary");
        if (!hasType || !hasOrder || !hasShape)
            return refuse("the header lacks one of descr, fortran_order and shape");
        return {};
    }

private:
    tl::unexpected<Error> refuse(std::string reason, ErrorCode code = ErrorCode::Malformed) const
    {
        return failure(code, m_where, std::move(reason), m_base + m_at);
    }

    void skipSpace()
    {
        while (m_at < m_text.size() && (m_text[m_at] == ' ' || m_text[m_at] == '\n'))
            ++m_at;
    }

    char peek()
    {
        skipSpace();
        return m_at < m_text.size() ? m_text[m_at] : '\0';
    }

    bool take(char character)
    {
        if (peek() != character)
            return false;
        ++m_at;
        return true;
    }

    bool take(std::string_view word)
    {
        skipSpace();
        if (!m_text.substr(m_at).starts_with(word))
            return false;
        m_at += word.size();
        return true;
    }

    std::optional<std::string_view> quoted()
    {
        const char quote = peek();
        if (quote != '\'' && quote != '"')
            return std::nullopt;
        const auto end = m_text.find(quote, m_at + 1);
        if (end == std::string_view::npos)
            return std::nullopt;
        const auto text = m_text.substr(m_at + 1, end - m_at - 1);
        if (text.find('\\') != std::string_view::npos)
            return std::nullopt;
        m_at = end + 1;
        return text;
    }

    Result<void> type(NpyHeader& header)
    {
        if (peek() == '[')
            return refuse("an array of records, not of numbers", ErrorCode::Unsupported);
        const auto text = quoted();
        if (!text || text->size() < 2)
            return refuse("descr is not the name of a type");
        const char byteOrder = (*text)[0];
        const auto kind = text->substr(1);
        if (kind.starts_with('O'))
            return refuse("an array of Python objects: a pickle, which is never loaded", ErrorCode::Unsupported);
        for (const auto& [name, dtype] : kNumpyTypes) {
            if (name != kind || std::string_view("<>=|").find(byteOrder) == std::string_view::npos)
                continue;
            header.dtype = dtype;
            header.swapped = byteOrder == '>' && traitsOf(dtype).blockBytes > 1;
            return {};
        }
        return refuse("an array of type " + inQuotes(*text) + ", which cannot be read", ErrorCode::Unsupported);
    }

    Result<void> order(bool& fortran)
    {
        fortran = take("True");
        if (!fortran && !take("False"))
            return refuse("fortran_order is neither True nor False");
        return {};
    }

    Result<void> shape(Shape& shape)
    {
        if (!take('('))
            return refuse("shape is not a tuple");
        while (!take(')')) {
            skipSpace();
            std::uint64_t extent = 0;
            const auto* begin = m_text.data() + m_at;
            const auto [end, problem] = std::from_chars(begin, m_text.data() + m_text.size(), extent);
            if (problem != std::errc())
                return refuse("shape holds something that is not a whole number below 2^64");
            m_at += static_cast<std::size_t>(end - begin);
            take('L');  // Python 2
            if (shape.size() == kMaxNpyRank)
                return refuse("shape has more than 8 extents");
            shape.push_back(extent);
            if (!take(',') && (peek() != ')' || shape.size() == 1))
                return refuse("shape is not a tuple");
        }
        return {};
    }

    std::string_view m_text;
    const std::string& m_where;
    std::uint64_t m_base;
    std::size_t m_at = 0;
};

}  // namespace

Result<NpyHeader> readNpyHeader(Bytes head, std::uint64_t size, const std::string& where, std::uint64_t base)
{
    const auto truncated = [&] {
        return failure(ErrorCode::Truncated, where, "the NumPy array ends inside its header", base + head.size());
    };
    ByteCursor cursor(head);
    const auto magic = cursor.take(kNpyMagic.size());
    if (!magic)
        return truncated();
    if (std::string_view(reinterpret_cast<const char*>(magic->data()), magic->size()) != kNpyMagic)
        return failure(ErrorCode::Malformed, where, "not a NumPy array", base);
    const auto major = cursor.read<std::uint8_t>(), minor = cursor.read<std::uint8_t>();
    if (!major || !minor)
        return truncated();
    if (*major < 1 || *major > 3 || *minor != 0)
        return failure(ErrorCode::Unsupported, where,
            "version " + std::to_string(*major) + "." + std::to_string(*minor) + " of NumPy's format",
            base + kNpyMagic.size());
    const std::optional<std::uint32_t> length =
        *major == 1 ? std::optional<std::uint32_t>(cursor.read<std::uint16_t>()) : cursor.read<std::uint32_t>();
    if (!length)
        return truncated();
    if (*length > kMaxNpyHeader - cursor.offset())
        return failure(ErrorCode::Malformed, where,
            "a header of " + std::to_string(*length) + " bytes, more than the 10,000 allowed", base + 8);
    const auto begin = base + cursor.offset();
    const auto text = cursor.take(*length);
    if (!text)
        return truncated();
    NpyHeader header;
    NpyDictionary dictionary({reinterpret_cast<const char*>(text->data()), text->size()}, where, begin);
    if (auto read = dictionary.read(header); !read)
        return tl::unexpected(std::move(read.error()));
    header.dataBegin = cursor.offset();
    const auto elements = elementCount(header.shape);
    const auto bytes = byteCount(elements.value_or(~std::uint64_t {0}), header.dtype).value_or(~std::uint64_t {0});
    const auto stored = size - header.dataBegin;
    if (bytes != stored) {
        return failure(bytes > stored ? ErrorCode::Truncated : ErrorCode::Malformed, where,
            "the shape needs " + (elements ? std::to_string(bytes) : "more than 2^64") + " bytes of "
                + std::string(nameOf(header.dtype)) + ", the array has " + std::to_string(stored),
            begin);
    }
    return header;
}

std::vector<std::uint64_t> npyStrides(const NpyHeader& header)
{
    std::vector<std::uint64_t> strides(header.shape.size());
    std::uint64_t stride = 1;
    for (std::size_t i = 0; i < strides.size(); ++i) {
        const auto axis = header.fortranOrder ? i : strides.size() - 1 - i;
        strides[axis] = stride;
        stride *= header.shape[axis];
    }
    return strides;
}

}  // namespace quantloupe
