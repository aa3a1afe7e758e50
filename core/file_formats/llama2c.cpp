// SPDX-License-Identifier: GPL-3.0-or-later
// Checkpoints of llama2.c: version 0 and 1 of float32, version 2 of int8 with a scale per group. The matrices of all
// blocks, one after the other, become tensors with the names they have elsewhere. Source: interop notes, section 8.
#include "core/base/byte_cursor.h"
#include "core/file_formats/model_assembly.h"
#include "core/model/model_config.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace quantloupe {
namespace file_formats {
namespace {

constexpr std::uint32_t kMagic = 0x616B3432;
constexpr std::uint64_t kHeaderSize = 256;  // of versions 1 and 2; that of version 0 has 28 bytes

struct Header {
    std::uint32_t version = 0;
    std::uint64_t dim = 0, hidden = 0, layers = 0, heads = 0, keyValueHeads = 0, vocabulary = 0, context = 0;
    bool shared = true;       ///< the output head is the embedding
    std::uint64_t group = 0;  ///< weights per scale, of version 2
    std::uint64_t dataBegin = 28;

    std::uint64_t keyValueDim() const { return dim / heads * keyValueHeads; }
};

bool isPossible(const Header& header)
{
    const auto within = [](std::uint64_t number, std::uint64_t limit) { return number > 0 && number <= limit; };
    return within(header.dim, 1'000'000) && within(header.hidden, 1'000'000) && within(header.layers, 10'000)
        && within(header.heads, header.dim) && within(header.keyValueHeads, header.heads)
        && within(header.vocabulary, 10'000'000) && within(header.context, 100'000'000)
        && header.dim % header.heads == 0 && header.heads % header.keyValueHeads == 0;
}

/// nullopt where the bytes end too soon or the figures are not those of a model.
std::optional<Header> readHeader(Bytes bytes)
{
    ByteCursor cursor(bytes);
    Header header;
    const auto first = cursor.read<std::uint32_t>();
    const bool versioned = first == kMagic;
    if (versioned)
        header.version = static_cast<std::uint32_t>(cursor.read<std::int32_t>().value_or(0));
    else
        cursor = ByteCursor(bytes);
    std::int32_t vocabulary = 0;
    const auto figure = [&](std::uint64_t& target) {
        const auto number = cursor.read<std::int32_t>().value_or(0);
        target = number > 0 ? static_cast<std::uint64_t>(number) : 0;
    };
    figure(header.dim);
    figure(header.hidden);
    figure(header.layers);
    figure(header.heads);
    figure(header.keyValueHeads);
    vocabulary = cursor.read<std::int32_t>().value_or(0);
    header.vocabulary = static_cast<std::uint64_t>(std::abs(std::int64_t {vocabulary}));
    figure(header.context);
    if (versioned) {
        header.shared = cursor.read<std::uint8_t>().value_or(0) != 0;
        if (header.version == 2)
            figure(header.group);
        header.dataBegin = kHeaderSize;
        if (header.version < 1 || header.version > 2 || vocabulary < 0 || (header.version == 2 && header.group == 0))
            return std::nullopt;
    } else {
        header.shared = vocabulary > 0;  // its sign says so
    }
    return isPossible(header) ? std::optional(header) : std::nullopt;
}

/// int8 codes and the scale of each group of them, groups counted over the whole matrix.
class Int8Groups final : public RowDecoder
{
public:
    Int8Groups(Bytes codes, Bytes scales, std::uint64_t columns, std::uint64_t group, MappedFilePointer file)
        : m_codes(codes)
        , m_scales(scales)
        , m_columns(columns)
        , m_group(group)
        , m_file(std::move(file))
    {
    }

    void decodeRows(std::uint64_t firstRow, std::uint64_t /*rowCount*/, std::span<float> out) const override
    {
        const auto first = firstRow * m_columns;
        decodeElements(DType::I8, m_codes.data(), first, 1, out.size(), out.data());
        for (std::size_t i = 0; i < out.size();) {
            const auto index = (first + i) / m_group;
            const auto end = std::min<std::size_t>(out.size(), (index + 1) * m_group - first);
            float scale;
            std::memcpy(&scale, m_scales.data() + index * sizeof(float), sizeof(float));
            for (; i < end; ++i)
                out[i] *= scale;
        }
    }

    void release() const override { m_file->release(m_scales); }
    std::vector<Bytes> storedBytes() const override { return {m_codes, m_scales}; }
    std::string description() const override { return "int8:g" + std::to_string(m_group); }

private:
    Bytes m_codes, m_scales;
    std::uint64_t m_columns, m_group;
    MappedFilePointer m_file;
};

/// Takes the tensors off the file, in its order.
class Reader
{
public:
    Reader(const MappedFilePointer& file, const Header& header)
        : m_file(file)
        , m_header(header)
        , m_cursor(file->bytes())
        , m_where(file->path().string())
    {
        m_model.format = "llama2c";
        m_model.files.push_back(file->path());
    }

    Result<Model> read()
    {
        if (!m_cursor.take(m_header.dataBegin))
            return truncated();
        const auto dim = m_header.dim;
        const Shape embedding {m_header.vocabulary, dim}, norm {dim};
        const bool first = m_header.version == 0;
        bool complete = (!first || add("model.embed_tokens.weight", embedding, false))
            && addNorms("input_layernorm.weight") && (!first || addMatrices(true))
            && (first || (addNorms("post_attention_layernorm.weight") && add("model.norm.weight", norm, false)))
            && (first || (add("model.embed_tokens.weight", embedding, true) && addMatrices(false)));
        if (first && complete) {
            // Tables of angles, which follow from the figures, are no weights.
            const auto tables = m_header.context * (dim / m_header.heads / 2) * 2 * sizeof(float);
            complete = add("model.norm.weight", norm, false) && m_cursor.take(tables);
        }
        if (!complete || (!m_header.shared && !add("lm_head.weight", embedding, !first)))
            return m_indivisible ? indivisible() : truncated();
        if (m_cursor.remaining() != 0)
            return failure(ErrorCode::Malformed, m_where,
                std::to_string(m_cursor.remaining()) + " bytes after the last tensor belong to none",
                m_cursor.offset());
        describe();
        return std::move(m_model);
    }

private:
    tl::unexpected<Error> truncated() const
    {
        return failure(ErrorCode::Truncated, m_where,
            "the file is shorter than the " + std::to_string(m_header.layers) + " blocks of its header need",
            m_file->bytes().size());
    }
    tl::unexpected<Error> indivisible() const
    {
        return failure(ErrorCode::Malformed, m_where,
            "a matrix does not divide into groups of " + std::to_string(m_header.group), m_cursor.offset());
    }

    bool addNorms(const char* name) { return addBlocks(name, {m_header.dim}, false); }

    /// Version 0 has the second norms between attention and the rest.
    bool addMatrices(bool withNorms)
    {
        const auto dim = m_header.dim, narrow = m_header.keyValueDim(), hidden = m_header.hidden;
        return addBlocks("self_attn.q_proj.weight", {dim, dim}, true)
            && addBlocks("self_attn.k_proj.weight", {narrow, dim}, true)
            && addBlocks("self_attn.v_proj.weight", {narrow, dim}, true)
            && addBlocks("self_attn.o_proj.weight", {dim, dim}, true)
            && (!withNorms || addNorms("post_attention_layernorm.weight"))
            && addBlocks("mlp.gate_proj.weight", {hidden, dim}, true)
            && addBlocks("mlp.down_proj.weight", {dim, hidden}, true)
            && addBlocks("mlp.up_proj.weight", {hidden, dim}, true);
    }

    bool addBlocks(const std::string& name, const Shape& shape, bool matrix)
    {
        for (std::uint64_t block = 0; block < m_header.layers; ++block)
            if (!add("model.layers." + std::to_string(block) + "." + name, shape, matrix))
                return false;
        return true;
    }

    /// False where the file has not as many bytes, or not whole groups.
    bool add(std::string name, const Shape& shape, bool matrix)
    {
        const bool packed = matrix && m_header.version == 2;
        const auto elements = elementCount(shape);
        const auto begin = m_cursor.offset();
        if (!elements)
            return false;
        m_indivisible = packed && *elements % m_header.group != 0;
        const auto bytes = byteCount(*elements, packed ? DType::I8 : DType::F32);
        const auto taken = m_indivisible || !bytes ? std::nullopt : m_cursor.take(*bytes);
        const auto scales = packed && taken ? m_cursor.take(*elements / m_header.group * sizeof(float)) : Bytes {};
        if (!taken || !scales)
            return false;
        ModelTensor tensor;
        tensor.parts = readName(name);
        tensor.name = std::move(name);
        tensor.offset = begin;
        tensor.view = {.dtype = packed ? DType::I8 : DType::F32, .shape = shape, .bytes = *taken, .owner = m_file};
        if (packed) {
            tensor.view.packedBytes = taken->size() + scales->size();
            tensor.view.decoder = std::make_shared<Int8Groups>(*taken, *scales, shape.back(), m_header.group, m_file);
        }
        m_model.tensors.push_back(std::move(tensor));
        return true;
    }

    void describe()
    {
        auto& config = m_model.config;
        config.architecture = "llama";
        config.hiddenSize = m_header.dim;
        config.layers = m_header.layers;
        config.heads = m_header.heads;
        config.keyValueHeads = m_header.keyValueHeads;
        config.intermediateSize = m_header.hidden;
        config.vocabulary = m_header.vocabulary;
        config.contextLength = m_header.context;
        config.tiedEmbeddings = m_header.shared;
        completeModelConfig(config);
        m_model.settings.activation = "silu";
        m_model.settings.normEpsilon = 1e-5;
        m_model.settings.rotaryNeighbours = true;
        m_model.metadata = {{"llama2.c.version", std::to_string(m_header.version)},
            {"llama2.c.rotary_order",
                "interleaved: rows 2i and 2i+1 of a head of q and k are a pair, as in GGUF; Hugging Face pairs i with "
                "i + head size / 2"}};
        if (m_header.version == 2)
            m_model.metadata.emplace_back("llama2.c.group_size", std::to_string(m_header.group));
    }

    MappedFilePointer m_file;
    Header m_header;
    ByteCursor m_cursor;
    std::string m_where;
    Model m_model;
    bool m_indivisible = false;
};

bool matches(Bytes head)
{
    ByteCursor cursor(head);
    return cursor.read<std::uint32_t>() == kMagic || readHeader(head).has_value();
}

Result<Model> open(const MappedFilePointer& file, const std::stop_token& /*stop*/)
{
    const auto header = readHeader(file->bytes());
    if (!header) {
        ByteCursor cursor(file->bytes());
        const bool own = cursor.read<std::uint32_t>() == kMagic;
        const auto code = !own                   ? ErrorCode::NotThisFormat
            : file->bytes().size() < kHeaderSize ? ErrorCode::Truncated
                                                 : ErrorCode::Malformed;
        return failure(code, file->path().string(),
            "the header's figures are not those of a model of llama2.c, version 0, 1 or 2", 0);
    }
    return Reader(file, *header).read();
}

}  // namespace

extern const FileFormat llama2c;
const FileFormat llama2c {"llama2c", "llama2.c", "bin", matches, open};

}  // namespace file_formats
}  // namespace quantloupe
