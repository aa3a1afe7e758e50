// SPDX-License-Identifier: GPL-3.0-or-later
// TensorFlow Lite (LiteRT): the constants of its graphs. Source: tensorflow/lite/schema/schema.fbs, version 3.
#include "core/base/text.h"
#include "core/file_formats/affine_rows.h"
#include "core/file_formats/flat_buffer.h"
#include "core/file_formats/model_assembly.h"

#include <algorithm>
#include <set>

namespace quantloupe {
namespace file_formats {
namespace {

constexpr std::uint32_t kMaxTensors = 1'000'000;
constexpr std::uint32_t kMaxUses = 10'000'000;
constexpr std::uint64_t kMaxNameBytes = std::uint64_t {16} << 20U;  // references may share a text: each copy counts
constexpr std::uint32_t kMaxRank = 8;

/// By the numbers of TensorType; no value: nothing that can be listed.
constexpr std::optional<DType> kTypes[] = {DType::F32, DType::F16, DType::I32, DType::U8, DType::I64, std::nullopt,
    DType::Bool, DType::I16, DType::C64, DType::I8, DType::F64, DType::C128, DType::U64, std::nullopt, std::nullopt,
    DType::U32, DType::U16, DType::I4, DType::BF16};

/// What an operator does with one of its inputs. Numbers are those of BuiltinOperator.
struct Use {
    std::int32_t code;
    std::uint32_t first, last;  ///< inputs
    bool transposed = false, convolution = false;
    TensorRole role = TensorRole::Other;
};
constexpr Use kUses[] = {
    // CONV_2D and TRANSPOSE_CONV [out, h, w, in]
    {3, 1, 1, false, true},
    {3, 2, 2, false, false, TensorRole::Bias},
    {67, 1, 1, false, true},
    // DEPTHWISE_CONV_2D [1, h, w, out]; CONV_3D [d, h, w, in, out]
    {4, 1, 1, true, true},
    {4, 2, 2, false, false, TensorRole::Bias},
    {132, 1, 1, true, true},
    // FULLY_CONNECTED [out, in]; BATCH_MATMUL [in, out]
    {9, 1, 1},
    {9, 2, 2, false, false, TensorRole::Bias},
    {126, 1, 1, true},
    // LSTM, UNIDIRECTIONAL_SEQUENCE_LSTM: input and recurrent weights of four gates
    {16, 1, 8},
    {16, 12, 15, false, false, TensorRole::Bias},
    {44, 1, 8},
    {44, 12, 15, false, false, TensorRole::Bias},
    // EMBEDDING_LOOKUP, GATHER
    {7, 1, 1, false, false, TensorRole::Embedding},
    {36, 0, 0, false, false, TensorRole::Embedding},
};
constexpr std::int32_t kDequantize = 6;

class Reader
{
public:
    explicit Reader(const MappedFilePointer& file)
        : m_map(file)
        , m_file(file->bytes(), file->path().string())
    {
    }

    Result<Model> read()
    {
        m_model.format = "tflite";
        m_model.operatorsKnown = true;
        m_model.files.push_back(m_map->path());
        const auto root = m_file.root();
        m_model.metadata.emplace_back("version", std::to_string(m_file.number<std::uint32_t>(root, 0, 0)));
        m_model.metadata.emplace_back("description", shortened(m_file.text(root, 3), 200));
        m_operators = m_file.vector(root, 1, 4);
        m_buffers = m_file.vector(root, 4, 4);
        const auto graphs = m_file.vector(root, 2, 4);
        for (std::uint32_t i = 0; i < graphs.count; ++i)
            if (auto added = addGraph(m_file.tableAt(graphs, i)); !added)
                return tl::unexpected(std::move(added.error()));
        if (m_file.failed())
            return m_file.error();
        if (m_leftOut > 0)
            m_model.warnings.push_back(
                "Tensors of text or of values with gaps, which are left out: " + std::to_string(m_leftOut) + ".");
        return std::move(m_model);
    }

private:
    struct Known {
        const Use* use = nullptr;
        std::uint32_t source = 0;  ///< the tensor that DEQUANTIZE made this one from, plus 1
    };

    Result<void> addGraph(FlatFile::Table graph)
    {
        const auto tensors = m_file.vector(graph, 0, 4);
        m_count += tensors.count;
        if (m_count > kMaxTensors)
            return m_file.malformed(graph, "more than a million tensors");
        std::vector<Known> known(tensors.count);
        const auto operators = m_file.vector(graph, 3, 4);
        m_uses += operators.count;
        if (m_uses > kMaxUses)
            return m_file.malformed(graph, "more than ten million operators");
        for (std::uint32_t i = 0; i < operators.count && !m_file.failed(); ++i)
            noteUses(m_file.tableAt(operators, i), known);
        for (const auto& tensor : known)
            if (tensor.source != 0 && tensor.use != nullptr)
                known[tensor.source - 1].use = tensor.use;
        for (std::uint32_t i = 0; i < tensors.count && !m_file.failed(); ++i)
            if (auto added = addTensor(m_file.tableAt(tensors, i), known[i].use); !added)
                return added;
        return m_file.failed() ? Result<void>(m_file.error()) : Result<void>();
    }

    void noteUses(FlatFile::Table node, std::vector<Known>& known)
    {
        const auto index = m_file.number<std::uint32_t>(node, 0, 0);
        if (index >= m_operators.count)
            return;
        // Codes above 127 came later and have a field of their own.
        const auto type = m_file.tableAt(m_operators, index);
        const auto code =
            std::max<std::int32_t>(m_file.number<std::int8_t>(type, 0, 0), m_file.number<std::int32_t>(type, 3, 0));
        const auto inputs = m_file.vector(node, 1, 4), outputs = m_file.vector(node, 2, 4);
        const auto inputAt = [&](const FlatFile::Vector& list, std::uint32_t i) {
            const auto tensor = i < list.count ? m_file.numberAt<std::int32_t>(list, i) : -1;
            return tensor >= 0 && static_cast<std::uint32_t>(tensor) < known.size() ? tensor : -1;
        };
        for (const auto& use : kUses)
            for (auto i = use.first; use.code == code && i <= use.last; ++i)
                if (const auto tensor = inputAt(inputs, i); tensor >= 0)
                    known[static_cast<std::uint32_t>(tensor)].use = &use;
        const auto from = inputAt(inputs, 0), to = inputAt(outputs, 0);
        if (code == kDequantize && from >= 0 && to >= 0)
            known[static_cast<std::uint32_t>(to)].source = static_cast<std::uint32_t>(from) + 1;
    }

    /// The bytes of a tensor; empty for what is computed. Large models keep them behind the tables.
    Result<Bytes> bytesOf(FlatFile::Table tensor)
    {
        const auto index = m_file.number<std::uint32_t>(tensor, 2, 0);
        if (index == 0)
            return Bytes();
        if (index >= m_buffers.count)
            return m_file.malformed(tensor, "a tensor in buffer " + std::to_string(index) + ", which does not exist");
        const auto buffer = m_file.tableAt(m_buffers, index);
        const auto offset = m_file.number<std::uint64_t>(buffer, 1, 0),
                   size = m_file.number<std::uint64_t>(buffer, 2, 0);
        if (offset <= 1)
            return m_file.vector(buffer, 0, 1).bytes;
        const auto all = m_map->bytes();
        if (offset > all.size() || size > all.size() - offset)
            return failure(
                ErrorCode::Truncated, m_map->path().string(), "a buffer reaches past the end of the file", offset);
        return all.subspan(offset, size);
    }

    Result<void> addTensor(FlatFile::Table tensor, const Use* use)
    {
        const auto bytes = bytesOf(tensor);
        if (!bytes)
            return tl::unexpected(bytes.error());
        if (bytes->empty())
            return {};
        const auto type = m_file.number<std::uint8_t>(tensor, 1, 0);
        if (type >= std::size(kTypes) || !kTypes[type] || m_file.table(tensor, 6) != 0) {
            ++m_leftOut;
            return {};
        }
        const auto name = m_file.text(tensor, 3);
        m_nameBytes += name.size();
        if (m_nameBytes > kMaxNameBytes || !isValidUtf8(name) || name.find('\0') != std::string_view::npos)
            return m_file.malformed(tensor, "the name of a tensor is too long or not valid UTF-8 text");
        ModelTensor made;
        made.name = name;
        if (!m_names.insert(made.name).second)
            made.name += "#" + std::to_string(m_model.tensors.size());
        made.view = {.dtype = *kTypes[type], .bytes = *bytes, .owner = m_map};
        if (auto shaped = shape(tensor, made); !shaped)
            return shaped;
        made.view.transposed = use && use->transposed;
        made.view.convolution = use && use->convolution && made.view.shape.size() >= 3;
        if (auto quantized = dequantize(tensor, made); !quantized)
            return quantized;
        made.parts = readName(made.name);
        // Names of folded layers tell of everything that was folded: what the operator does is certain.
        if (use
            && (use->role == TensorRole::Bias || made.parts.role == TensorRole::Norm
                || made.parts.role == TensorRole::Bias || made.parts.role == TensorRole::Other))
            made.parts.role = use->role;
        made.offset = static_cast<std::uint64_t>(bytes->data() - m_map->bytes().data());
        made.auxiliary = use == nullptr;
        m_model.tensors.push_back(std::move(made));
        return {};
    }

    Result<void> shape(FlatFile::Table tensor, ModelTensor& made)
    {
        const auto extents = m_file.vector(tensor, 0, 4);
        if (extents.count > kMaxRank)
            return m_file.malformed(tensor, "a tensor of more than 8 dimensions");
        for (std::uint32_t i = 0; i < extents.count; ++i) {
            const auto extent = m_file.numberAt<std::int32_t>(extents, i);
            if (extent < 0)
                return m_file.malformed(tensor, "tensor " + inQuotes(made.name) + ": a negative extent");
            made.view.shape.push_back(static_cast<std::uint64_t>(extent));
        }
        const auto elements = elementCount(made.view.shape);
        const auto block = traitsOf(made.view.dtype).blockElements;
        if (!elements || byteCount((*elements + block - 1) / block * block, made.view.dtype) != made.view.bytes.size())
            return m_file.malformed(tensor,
                "tensor " + inQuotes(made.name) + ": " + std::to_string(made.view.bytes.size())
                    + " bytes do not fit its shape");
        return {};
    }

    Result<void> dequantize(FlatFile::Table tensor, ModelTensor& made)
    {
        const auto quantization = m_file.table(tensor, 4);
        const auto scales = m_file.vector(quantization, 2, 4), zeroPoints = m_file.vector(quantization, 3, 8);
        const auto axis = m_file.number<std::int32_t>(quantization, 6, 0);
        const auto& shape = made.view.shape;
        if (scales.count == 0 || m_file.failed())
            return {};
        AffineWeight weight {.order = ElementOrder::of(made.view),
            .codes = {made.view.dtype, made.view.bytes, m_map},
            .scales = {DType::F32, scales.bytes, m_map}};
        if (scales.count > 1) {
            if (axis < 0 || static_cast<std::size_t>(axis) >= shape.size()
                || shape[static_cast<std::size_t>(axis)] != scales.count)
                return m_file.malformed(
                    tensor, "tensor " + inQuotes(made.name) + ": its scales do not fit axis " + std::to_string(axis));
            weight.grid = ScaleGrid::perAxis(shape, static_cast<std::size_t>(axis));
        }
        if (zeroPoints.count != 0 && zeroPoints.count != scales.count)
            return m_file.malformed(tensor, "tensor " + inQuotes(made.name) + ": not as many zero points as scales");
        m_zeroPointBytes += zeroPoints.bytes.size();
        if (m_zeroPointBytes > m_map->bytes().size())  // references to the same ones, again and again
            return m_file.malformed(tensor, "more zero points than the file has room for");
        const bool asymmetric = std::any_of(
            zeroPoints.bytes.begin(), zeroPoints.bytes.end(), [](std::byte byte) { return byte != std::byte {0}; });
        if (asymmetric)
            weight.zeroPoints = StoredElements {DType::I64, zeroPoints.bytes, m_map};
        weight.description = "TFLite int" + std::to_string(static_cast<int>(bitsPerElement(made.view.dtype)))
            + (scales.count > 1 ? ":channel" : ":tensor") + (asymmetric ? ":asym" : "");
        made.view.packedBytes = made.view.bytes.size() + scales.bytes.size() + zeroPoints.bytes.size();
        made.view.decoder = affineRows(std::move(weight));
        return {};
    }

    MappedFilePointer m_map;
    FlatFile m_file;
    Model m_model;
    FlatFile::Vector m_operators, m_buffers;
    std::set<std::string> m_names;
    std::uint64_t m_count = 0, m_uses = 0, m_nameBytes = 0, m_zeroPointBytes = 0;
    std::size_t m_leftOut = 0;
};

bool matches(Bytes head)
{
    return head.size() >= 8 && std::memcmp(head.data() + 4, "TFL3", 4) == 0;
}

Result<Model> open(const MappedFilePointer& file, const std::stop_token& /*stop*/)
{
    if (!matches(file->bytes()))
        return failure(ErrorCode::NotThisFormat, file->path().string(), "'TFL3' is not at byte 4", 4);
    return Reader(file).read();
}

}  // namespace

extern const FileFormat tflite;
const FileFormat tflite {"tflite", "TensorFlow Lite", "tflite", matches, open};

}  // namespace file_formats
}  // namespace quantloupe
