// SPDX-License-Identifier: GPL-3.0-or-later
// ONNX with quantized initializers, each behind a DequantizeLinear that has the name of the weight it stands for, so
// that nothing that uses it changes. Source: interop notes on checkpoints, section 6.1.
#include "core/checkpoints/checkpoint_target.h"
#include "core/checkpoints/float_bytes.h"
#include "core/checkpoints/onnx_message.h"
#include "core/file_formats/onnx_messages.h"
#include "core/number_formats/bit_packing.h"

#include <algorithm>
#include <map>
#include <set>

namespace quantloupe::checkpoints {
namespace {

using Kind = Granularity::Kind;

/// Numbers of fields and types in ONNX's messages.
constexpr std::uint32_t kModelOpset = 8, kModelGraph = 7, kGraphNode = 1, kGraphInitializer = 5, kGraphInput = 11;
constexpr std::uint32_t kTensorDims = 1, kTensorType = 2, kTensorName = 8, kTensorRaw = 9;
constexpr std::uint64_t kFloat = 1, kUint8 = 2, kInt8 = 3, kHalf = 10, kUint4 = 21, kInt4 = 22;

/// What the packer of one weight must know.
struct Parts {
    std::size_t codes = 0, scales = 0;
    std::optional<std::size_t> zeros {};
    unsigned bits = 8;
    bool isSigned = true, transposed = false, wholeTensor = false;
    std::uint64_t outs = 0;
    DType scaleType = DType::F32;
};

void packOnnx(const Parts& parts, const QuantizedRows& rows, RegionWriter& out)
{
    const std::uint32_t middle = parts.isSigned ? 1U << (parts.bits - 1) : 0U;
    std::vector<std::uint32_t> codes(rows.codes.size());
    std::transform(rows.codes.begin(), rows.codes.end(), codes.begin(),
        [&](std::uint32_t code) { return (code - middle) & ((1U << parts.bits) - 1U); });
    if (parts.transposed) {
        std::vector<std::byte> run(rows.rowCount);
        for (std::size_t column = 0; column < rows.columns; ++column) {
            for (std::size_t row = 0; row < rows.rowCount; ++row)
                run[row] = static_cast<std::byte>(codes[row * rows.columns + column]);
            out.write(parts.codes, column * parts.outs + rows.firstRow, run);
        }
    } else {
        std::vector<std::byte> bytes(codes.size() * parts.bits / 8);
        packBits(codes, parts.bits, bytes);
        out.write(parts.codes, rows.firstRow * rows.columns * parts.bits / 8, bytes);
    }
    if (parts.wholeTensor && rows.firstRow > 0)
        return;
    std::vector<std::byte> scales;
    std::vector<std::uint32_t> zeros;
    for (const auto& grid : rows.grids) {
        appendScale(scales, parts.scaleType, grid.scale);
        zeros.push_back(static_cast<std::uint32_t>(grid.zero));
    }
    const auto first = parts.wholeTensor ? 0 : rows.firstRow * (rows.grids.size() / rows.rowCount);
    out.write(parts.scales, first * traitsOf(parts.scaleType).blockBytes, scales);
    if (!parts.zeros)
        return;
    std::vector<std::byte> packed((zeros.size() * parts.bits + 7) / 8);
    packBits(zeros, parts.bits, packed);
    out.write(*parts.zeros, first * parts.bits / 8, packed);
}

/// A TensorProto up to its raw data.
std::string tensorHead(std::string_view name, std::uint64_t type, const Shape& shape, std::uint64_t rawBytes)
{
    std::string head;
    for (const auto extent : shape)
        putNumber(head, kTensorDims, extent);
    putNumber(head, kTensorType, type);
    putDelimited(head, kTensorName, name);
    return head + delimitedHead(kTensorRaw, rawBytes);
}

std::string integerAttribute(std::string_view name, std::uint64_t value)
{
    std::string attribute;
    putDelimited(attribute, 1, name);
    putNumber(attribute, 3, value);
    putNumber(attribute, 20, 2);
    return attribute;
}

class QdqDrafter
{
public:
    explicit QdqDrafter(const CheckpointRequest& request)
        : m_request(request)
        , m_model(*request.model)
    {
        m_draft.model = request.model;
    }

    Result<CheckpointDraft> draft()
    {
        if (m_model.format != "onnx")
            return failure(
                ErrorCode::Unsupported, m_request.catalog.path, "is no ONNX model, of which alone QDQ can be made");
        if (m_model.files.size() != 1)
            return failure(
                ErrorCode::Unsupported, m_request.catalog.path, "has its weights in other files, which is not built");
        const auto file = MappedFile::open(m_model.files.front());
        if (!file)
            return tl::unexpected(file.error());
        m_file = *file;
        m_wire = {m_file->bytes(), m_file->path().string()};
        for (std::size_t i = 0; i < m_model.tensors.size(); ++i)
            m_byOffset[m_model.tensors[i].offset] = i;
        auto drafted = readOpset().and_then([this] { return draftGraph(); }).and_then([this] { return layOut(); });
        if (!drafted)
            return tl::unexpected(drafted.error());
        noteOthers();
        return std::move(m_draft);
    }

private:
    /// Part of the file: bytes, or a stored tensor.
    struct Segment {
        std::string bytes {};
        std::optional<std::size_t> stored {};
    };

    void text(std::vector<Segment>& segments, std::string bytes) { segments.push_back({std::move(bytes), {}}); }
    static std::string copyOf(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

    std::uint64_t sizeOf(const std::vector<Segment>& segments) const
    {
        std::uint64_t size = 0;
        for (const auto& segment : segments)
            size += segment.stored ? m_draft.stored[*segment.stored].bytes : segment.bytes.size();
        return size;
    }

    Result<void> readOpset()
    {
        return visitFields(m_wire, m_wire.bytes, [&](const WireField& field) -> Result<void> {
            if (field.number != kModelOpset)
                return {};
            std::string domain;
            std::uint64_t version = 0;
            auto read = visitFields(m_wire, field.bytes, [&](const WireField& part) -> Result<void> {
                if (part.number == 1)
                    domain = part.text();
                else if (part.number == 2)
                    version = part.value;
                return {};
            });
            if (domain.empty() || domain == "ai.onnx")
                m_opset = version;
            return read;
        });
    }

    Result<void> draftGraph()
    {
        return visitFields(m_wire, m_wire.bytes, [&](const WireField& field) -> Result<void> {
            if (field.number != kModelGraph || field.type != WireField::Type::Delimited) {
                text(m_segments, copyOf(field.at));
                return {};
            }
            auto read = visitFields(m_wire, field.bytes, [&](const WireField& part) { return addGraphField(part); });
            if (!read)
                return read;
            // Nodes come before those that use them.
            std::vector<Segment> graph;
            text(graph, m_nodes);
            for (auto* part : {&m_graph, &m_initializers})
                std::move(part->begin(), part->end(), std::back_inserter(graph));
            text(m_segments, delimitedHead(kModelGraph, sizeOf(graph)));
            std::move(graph.begin(), graph.end(), std::back_inserter(m_segments));
            return {};
        });
    }

    Result<void> addGraphField(const WireField& field)
    {
        if (field.number == kGraphInput)
            m_inputs.push_back(field.bytes);
        if (field.number != kGraphInitializer) {
            text(m_graph, copyOf(field.at));
            return {};
        }
        const auto tensor = readOnnxTensor(m_wire, field.bytes);
        if (!tensor)
            return tl::unexpected(tensor.error());
        const auto found = tensor->raw ? m_byOffset.find(m_wire.offsetOf(*tensor->raw)) : m_byOffset.end();
        if (found == m_byOffset.end() || tensor->raw->empty()) {
            text(m_graph, copyOf(field.at));
            return {};
        }
        const auto& planned = m_request.plan.tensors[found->second];
        if (planned.scheme && !isPlain(*planned.scheme))
            return addQuantized(*tensor, planned);
        keep(field, *tensor, found->second);
        return {};
    }

    static bool isPlain(const Scheme& scheme)
    {
        return scheme.format == Format::Fp32 || scheme.format == Format::Fp16 || scheme.format == Format::Bf16;
    }

    std::size_t store(const std::string& name, DType type, Shape shape, std::uint64_t bytes)
    {
        m_draft.stored.push_back({name, type, std::move(shape), bytes});
        return m_draft.stored.size() - 1;
    }

    /// The same bytes in the same place, without holding them in memory.
    void keep(const WireField& field, const OnnxTensor& tensor, std::size_t index)
    {
        const auto before = static_cast<std::size_t>(tensor.raw->data() - field.at.data());
        const auto& source = m_model.tensors[index];
        text(m_graph, copyOf(field.at.first(before)));
        const auto stored = store(source.name, source.view.dtype, source.view.shape, tensor.raw->size());
        m_graph.push_back({{}, stored});
        text(m_graph, copyOf(field.at.subspan(before + tensor.raw->size())));
        if (source.view.bytes.size() == tensor.raw->size())
            m_draft.tensors.push_back({.source = index, .copy = stored, .readBack = {.name = source.name}});
    }

    Result<void> checkScheme(const ModelTensor& source, const Scheme& scheme) const
    {
        const auto refuse = [&](const std::string& why) {
            return failure(ErrorCode::Unsupported, source.name, "QDQ cannot hold " + scheme.toString() + ": " + why);
        };
        if (auto codes = requireCodes(source.name, scheme); !codes)
            return codes;
        const auto& view = source.view;
        const bool narrow = scheme.format == Format::Int4, grouped = scheme.granularity.kind == Kind::Group;
        if ((scheme.format != Format::Int8 && !narrow) || scheme.symmetry == Symmetry::AsymmetricFloat)
            return refuse("it takes int8 and int4 with integer zero points");
        if (scheme.granularity.kind == Kind::Block)
            return refuse("scales belong to the tensor, channels or groups");
        if (view.decoder || (view.dtype != DType::F32 && view.dtype != DType::F16))
            return refuse("the weight is not stored as plain F32 or F16");
        if (view.dtype == DType::F16 && scheme.scales != ScaleStorage::Float16)
            return refuse("scales have the type of the weight, FP16: use s16");
        if (view.shape.size() != 2 && !view.convolution && scheme.granularity.kind != Kind::Tensor)
            return refuse("it takes matrices and kernels of convolutions");
        if ((narrow || grouped) && (view.transposed || view.shape.size() != 2))
            return refuse("int4 and groups are built for weights of [out, in] (Gemm with transB) only");
        const auto columns = matrixShape(view).columns;
        if ((narrow && columns % 2 != 0) || (grouped && columns % scheme.granularity.columns != 0))
            return refuse("groups and pairs must divide the row");
        const std::uint64_t needed = narrow || grouped ? 21 : scheme.granularity.kind == Kind::Channel ? 13 : 10;
        if (m_opset < needed)
            return refuse("that needs operator set " + std::to_string(needed) + ", the model has "
                + std::to_string(m_opset) + ": convert it with onnx.version_converter first");
        return {};
    }

    Result<void> addQuantized(const OnnxTensor& tensor, const PlannedTensor& planned)
    {
        const auto& source = m_model.tensors[planned.tensor];
        const auto& scheme = *planned.scheme;
        if (auto fine = checkScheme(source, scheme); !fine)
            return fine;
        const auto matrix = matrixShape(source.view);
        const std::string name(tensor.name);
        const bool grouped = scheme.granularity.kind == Kind::Group,
                   tensorwide = scheme.granularity.kind == Kind::Tensor;
        Parts parts {.bits = static_cast<unsigned>(codeBits(scheme.format)),
            .isSigned = scheme.symmetry != Symmetry::Asymmetric,
            .transposed = source.view.transposed,
            .wholeTensor = tensorwide,
            .outs = matrix.rows,
            .scaleType = source.view.dtype};
        const auto groups = grouped ? matrix.columns / scheme.granularity.columns : 1;
        const auto scaleShape = tensorwide ? Shape {} : grouped ? Shape {matrix.rows, groups} : Shape {matrix.rows};
        const auto count = tensorwide ? 1 : matrix.rows * groups;
        const auto codeType = parts.isSigned ? parts.bits == 4 ? kInt4 : kInt8 : parts.bits == 4 ? kUint4 : kUint8;
        parts.codes = initializer(name + "_quantized", codeType, source.view.shape, matrix.elements() * parts.bits / 8);
        parts.scales = initializer(name + "_scale", parts.scaleType == DType::F16 ? kHalf : kFloat, scaleShape,
            count * traitsOf(parts.scaleType).blockBytes);
        if (!parts.isSigned)
            parts.zeros = initializer(name + "_zero_point", codeType, scaleShape, (count * parts.bits + 7) / 8);
        const auto axis = grouped ? 1 : source.view.transposed ? source.view.shape.size() - 1 : 0;
        addNode(name, parts.zeros.has_value(), tensorwide, axis, grouped ? scheme.granularity.columns : 0);
        m_replaced.insert(name);
        // Zero points of two rows may share a byte.
        DraftTensor drafted {.source = planned.tensor,
            .scheme = scheme,
            .pack = [parts](const QuantizedRows& rows, RegionWriter& out) { packOnnx(parts, rows, out); },
            .rowAlignment = source.view.transposed ? 256U : 2U,
            .readBack = {.name = source.name == name ? name + "_quantized" : source.name}};
        m_draft.tensors.push_back(std::move(drafted));
        if (planned.activations && m_draft.warnings.empty())
            m_draft.warnings.emplace_back("Schemes of inputs are not written: they need calibration.");
        return {};
    }

    std::size_t initializer(const std::string& name, std::uint64_t type, const Shape& shape, std::uint64_t bytes)
    {
        const auto head = tensorHead(name, type, shape, bytes);
        text(m_initializers, delimitedHead(kGraphInitializer, head.size() + bytes) + head);
        const auto stored = store(name, DType::U8, {bytes}, bytes);
        m_initializers.push_back({{}, stored});
        return stored;
    }

    void addNode(const std::string& name, bool zeros, bool tensorwide, std::uint64_t axis, std::uint64_t block)
    {
        std::string node;
        putDelimited(node, 1, name + "_quantized");
        putDelimited(node, 1, name + "_scale");
        if (zeros)
            putDelimited(node, 1, name + "_zero_point");
        putDelimited(node, 2, name);
        putDelimited(node, 3, name + "_dequantize");
        putDelimited(node, 4, "DequantizeLinear");
        if (!tensorwide)
            putDelimited(node, 5, integerAttribute("axis", axis));
        if (block > 0)
            putDelimited(node, 5, integerAttribute("block_size", block));
        putDelimited(m_nodes, kGraphNode, node);
    }

    Result<void> layOut()
    {
        for (const auto input : m_inputs) {
            auto fresh = visitFields(m_wire, input, [&](const WireField& field) -> Result<void> {
                if (field.number == 1 && m_replaced.contains(std::string(field.text())))
                    return failure(ErrorCode::Unsupported, std::string(field.text()),
                        "is an input of the graph as well, as old exporters had it: export the model anew");
                return {};
            });
            if (!fresh)
                return fresh;
        }
        m_draft.places.resize(m_draft.stored.size());
        m_draft.files.emplace_back();
        auto& file = m_draft.files.front();
        for (auto& segment : m_segments) {
            if (segment.stored) {
                m_draft.places[*segment.stored] = {0, file.size};
                file.size += m_draft.stored[*segment.stored].bytes;
                continue;
            }
            const auto size = segment.bytes.size();
            if (size > 0)
                file.literals.push_back({file.size, std::move(segment.bytes)});
            file.size += size;
        }
        constexpr std::uint64_t most = std::uint64_t {1} << 31U;
        if (file.size >= most)
            return failure(ErrorCode::Unsupported, m_request.catalog.path, "the file would exceed 2 GiB");
        return {};
    }

    /// Weights that are to be quantized and are no initializers with bytes of their own.
    void noteOthers()
    {
        for (const auto& planned : m_request.plan.tensors) {
            const bool done = std::any_of(m_draft.tensors.begin(), m_draft.tensors.end(),
                [&](const DraftTensor& tensor) { return tensor.source == planned.tensor; });
            if (planned.scheme && !done)
                m_draft.changes.push_back({m_model.tensors[planned.tensor].name, planned.scheme->toString(),
                    "as stored", "is no initializer with raw data"});
        }
    }

    const CheckpointRequest& m_request;
    const Model& m_model;
    std::shared_ptr<const MappedFile> m_file {};
    WireFile m_wire {};
    std::uint64_t m_opset = 0;
    std::map<std::uint64_t, std::size_t> m_byOffset {};
    std::vector<Segment> m_segments {}, m_graph {}, m_initializers {};
    std::string m_nodes {};
    std::vector<Bytes> m_inputs {};
    std::set<std::string> m_replaced {};
    CheckpointDraft m_draft {};
};

Result<CheckpointDraft> draft(const CheckpointRequest& request)
{
    return QdqDrafter(request).draft();
}

}  // namespace

extern const CheckpointTarget onnx_qdq;
const CheckpointTarget onnx_qdq {
    .name = "onnx-qdq",
    .title = "ONNX with quantized weights",
    .description =
        "The ONNX model with int8 (or, from operator set 21 on, int4 and groups of) weights behind DequantizeLinear. "
        "From ONNX models of one file only.",
    .suffix = ".onnx",
    .draft = &draft,
};

}  // namespace quantloupe::checkpoints
