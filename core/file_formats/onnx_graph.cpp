// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/onnx_graph.h"

#include "core/base/text.h"
#include "core/file_formats/onnx_scopes.h"

#include <algorithm>
#include <array>

namespace quantloupe {
namespace {

/// One row of the table of operators that compute with weights. `scale` and `zeroPoint` are inputs too, 0: none.
struct WeightOperator {
    std::string_view type;
    std::size_t weight;
    OnnxUse use;
    TensorRole role = TensorRole::Other;
    std::size_t scale = 0, zeroPoint = 0;
};

constexpr WeightOperator kWeightOperators[] = {
    {"MatMul", 1, OnnxUse::Columns},
    {"FusedMatMul", 1, OnnxUse::Columns},
    {"Gemm", 1, OnnxUse::Columns},
    {"MatMulInteger", 1, OnnxUse::Columns},
    {"Conv", 1, OnnxUse::Kernel},
    {"FusedConv", 1, OnnxUse::Kernel},
    {"ConvInteger", 1, OnnxUse::Kernel},
    {"ConvTranspose", 1, OnnxUse::TransposedKernel},
    {"Gather", 0, OnnxUse::Table, TensorRole::Embedding},
    {"GatherBlockQuantized", 0, OnnxUse::Table, TensorRole::Embedding},
    {"EmbedLayerNormalization", 2, OnnxUse::Table, TensorRole::Embedding},
    {"EmbedLayerNormalization", 3, OnnxUse::Table, TensorRole::Position},
    {"EmbedLayerNormalization", 4, OnnxUse::Table, TensorRole::Embedding},
    {"Attention", 1, OnnxUse::Columns, TensorRole::QueryKeyValue},
    {"LSTM", 1, OnnxUse::Rows},
    {"LSTM", 2, OnnxUse::Rows},
    {"GRU", 1, OnnxUse::Rows},
    {"GRU", 2, OnnxUse::Rows},
    {"RNN", 1, OnnxUse::Rows},
    {"RNN", 2, OnnxUse::Rows},
    {"QLinearMatMul", 3, OnnxUse::Columns, TensorRole::Other, 4, 5},
    {"QLinearConv", 3, OnnxUse::Kernel, TensorRole::Other, 4, 5},
    {"QGemm", 3, OnnxUse::Columns, TensorRole::Other, 4, 5},
    {"DynamicQuantizeMatMul", 1, OnnxUse::Columns, TensorRole::Other, 2, 3},
    {"MatMulIntegerToFloat", 1, OnnxUse::Columns, TensorRole::Other, 3, 5},
    {"MatMulNBits", 1, OnnxUse::Rows},
    {"MatMulBnb4", 1, OnnxUse::Rows},
};

/// Inputs that are never quantized.
struct SideInput {
    std::string_view type;
    std::size_t first, last;
    TensorRole role;
};

constexpr SideInput kSideInputs[] = {
    {"LayerNormalization", 1, 2, TensorRole::Norm},
    {"SimplifiedLayerNormalization", 1, 2, TensorRole::Norm},
    {"RMSNormalization", 1, 1, TensorRole::Norm},
    {"SkipLayerNormalization", 2, 4, TensorRole::Norm},
    {"SkipSimplifiedLayerNormalization", 2, 3, TensorRole::Norm},
    {"EmbedLayerNormalization", 5, 6, TensorRole::Norm},
    {"BatchNormalization", 1, 4, TensorRole::Norm},
    {"InstanceNormalization", 1, 2, TensorRole::Norm},
    {"GroupNormalization", 1, 2, TensorRole::Norm},
    {"Gemm", 2, 2, TensorRole::Bias},
    {"Conv", 2, 2, TensorRole::Bias},
    {"FusedConv", 2, 2, TensorRole::Bias},
    {"ConvTranspose", 2, 2, TensorRole::Bias},
    {"QLinearConv", 8, 8, TensorRole::Bias},
    {"Attention", 2, 2, TensorRole::Bias},
    {"LSTM", 3, 3, TensorRole::Bias},
    {"GRU", 3, 3, TensorRole::Bias},
    {"RNN", 3, 3, TensorRole::Bias},
    {"MatMulNBits", 5, 5, TensorRole::Bias},
};

class ConstantFinder
{
public:
    ConstantFinder(const WireFile& file, const OnnxModel& model, OnnxStorage& storage)
        : m_file(file)
        , m_model(model)
        , m_storage(storage)
        , m_scopes(file, model)
    {
    }

    Result<OnnxConstants> find()
    {
        for (std::size_t graph = 0; graph < m_model.graphs.size(); ++graph)
            if (auto collected = collect(graph); !collected)
                return tl::unexpected(std::move(collected.error()));
        for (const auto step : {&ConstantFinder::noteQuantization, &ConstantFinder::noteUses})
            for (std::size_t graph = 0; graph < m_model.graphs.size(); ++graph)
                for (const auto& node : m_model.graphs[graph].nodes)
                    if (auto noted = (this->*step)(graph, node); !noted)
                        return tl::unexpected(std::move(noted.error()));
        return std::move(m_found);
    }

private:
    Result<void> collect(std::size_t graph)
    {
        for (const auto& tensor : m_model.graphs[graph].initializers)
            if (auto added = add(graph, tensor, tensor.name, tensor.message); !added)
                return added;
        for (const auto& node : m_model.graphs[graph].nodes) {
            if (node.is("Constant")) {
                if (auto added = addValue(graph, node); !added)
                    return added;
                continue;
            }
            for (const auto output : node.outputs) {
                if (output.empty())
                    continue;
                if (auto defined = m_scopes.define(graph, output, {{}, &node, graph}, node.message); !defined)
                    return defined;
            }
        }
        return {};
    }

    /// The tensor in a Constant node; its other attributes hold a number or two, or text.
    Result<void> addValue(std::size_t graph, const OnnxNode& node)
    {
        const auto* attribute = node.find("value");
        if (!attribute || node.outputs.empty())
            return {};
        std::optional<Bytes> message;
        auto read = visitFields(m_file, attribute->message, [&](const WireField& field) -> Result<void> {
            if (field.number == 5 && field.type == WireField::Type::Delimited) {
                if (message)
                    return m_file.malformed(field.at, "a constant with two values");
                message = field.bytes;
            }
            return {};
        });
        if (!read || !message)
            return read;
        const auto tensor = readOnnxTensor(m_file, *message);
        if (!tensor)
            return tl::unexpected(tensor.error());
        if (node.outputs[0].empty())
            return m_file.malformed(node.message, "a constant without a name");
        return add(graph, *tensor, node.outputs[0], *message);
    }

    Result<void> add(std::size_t graph, const OnnxTensor& tensor, std::string_view name, Bytes message)
    {
        auto values = m_storage.find(tensor);
        if (!values)
            return tl::unexpected(std::move(values.error()));
        if (!*values) {
            ++m_found.texts;
            return {};
        }
        OnnxConstant constant;
        // Graphs side by side may use a name for different things.
        const auto& path = m_model.graphs[graph].path;
        constant.name = path.empty() ? std::string(name) : path + "/" + std::string(name);
        constant.values = std::move(**values);
        constant.message = message;
        m_found.list.push_back(std::move(constant));
        return m_scopes.define(graph, name, {m_found.list.size() - 1, nullptr, graph}, message);
    }

    std::optional<std::size_t> constant(std::size_t graph, const OnnxNode& node, std::size_t input) const
    {
        return m_scopes.constant(graph, node.input(input));
    }

    /// Says of a constant that its codes become weights by scales that are constants too.
    void quantize(std::size_t graph, const OnnxNode& node, std::size_t weight, OnnxQuantization how, std::size_t scale,
        std::size_t zeroPoint)
    {
        const auto codes = constant(graph, node, weight), scales = constant(graph, node, scale);
        const auto zeroPoints = constant(graph, node, zeroPoint);
        const bool zeroPointsUnknown = !zeroPoints && !node.input(zeroPoint).empty();
        if (!codes || !scales || zeroPointsUnknown || m_found.list[*codes].quantization)
            return;
        how.scale = *scales;
        how.zeroPoint = zeroPoints;
        m_found.list[*codes].quantization = how;
        m_found.list[*scales].belongsToOther = true;
        if (zeroPoints)
            m_found.list[*zeroPoints].belongsToOther = true;
    }

    Result<void> noteQuantization(std::size_t graph, const OnnxNode& node)
    {
        OnnxQuantization how;
        how.method = node.type;
        Error error;
        bool failed = false;
        const auto read = [&](std::string_view attribute, std::int64_t otherwise) {
            auto value = onnxInteger(m_file, node, attribute, otherwise);
            if (!value && !failed) {
                failed = true;
                error = std::move(value.error());
            }
            return value.value_or(otherwise);
        };
        using Layout = OnnxQuantization::Layout;
        if (node.is("DequantizeLinear")) {
            how.method = "QDQ";
            how.axis = read("axis", 1);
            how.blockSize = read("block_size", 0);
            quantize(graph, node, 0, how, 1, 2);
        } else if (node.is("MatMulNBits") && node.input(4).empty()) {  // with a group index, groups are scattered
            how.layout = Layout::NBits;
            how.rows = read("N", 0);
            how.columns = read("K", 0);
            how.bits = read("bits", 4);
            how.blockSize = read("block_size", 0);
            quantize(graph, node, 1, how, 2, 3);
        } else if (node.is("MatMulBnb4")) {
            how.layout = Layout::CodeBook;
            how.rows = read("N", 0);
            how.columns = read("K", 0);
            how.codeBook = read("quant_type", 1);
            how.blockSize = read("block_size", 0);
            quantize(graph, node, 1, how, 2, node.inputs.size());
        } else if (node.is("GatherBlockQuantized")) {
            how.axis = read("quantize_axis", 1);
            how.blockSize = read("block_size", 128);
            how.bits = read("bits", 4);
            if (how.blockSize == 0)  // of small floats: one block, whatever its extent
                return {};
            const auto codes = constant(graph, node, 0);
            if (codes && m_found.list[*codes].values.dtype == DType::U8)
                how.layout = Layout::Packed;
            quantize(graph, node, 0, how, 2, 3);
        } else {
            for (const auto& row : kWeightOperators) {
                if (row.scale == 0 || !node.is(row.type))
                    continue;
                how.method = "QOperator";
                how.axis = row.use == OnnxUse::Kernel || read("transB", 0) != 0 ? 0 : -1;
                quantize(graph, node, row.weight, how, row.scale, row.zeroPoint);
            }
            if (node.is("MatMulInteger"))
                noteByName(graph, node, how);
        }
        if (failed)
            return tl::unexpected(std::move(error));
        return {};
    }

    /// ONNX Runtime's dynamic quantization multiplies by the scale after MatMulInteger; its names tell which it is.
    void noteByName(std::size_t graph, const OnnxNode& node, OnnxQuantization how)
    {
        constexpr std::string_view kSuffix = "_quantized";
        const auto codes = node.input(1);
        if (!codes.ends_with(kSuffix))
            return;
        const auto scaleName = std::string(codes.substr(0, codes.size() - kSuffix.size())) + "_scale";
        const auto weight = m_scopes.constant(graph, codes), scales = m_scopes.constant(graph, scaleName);
        const auto zeroPoints = constant(graph, node, 3);
        if (!weight || !scales || m_found.list[*weight].quantization || (!zeroPoints && !node.input(3).empty()))
            return;
        how.axis = -1;
        how.scale = *scales;
        how.zeroPoint = zeroPoints;
        m_found.list[*weight].quantization = how;
        m_found.list[*scales].belongsToOther = true;
        if (zeroPoints)
            m_found.list[*zeroPoints].belongsToOther = true;
    }

    Result<void> noteUse(
        std::size_t graph, const OnnxNode& node, std::size_t input, OnnxUse use, TensorRole role, std::int64_t groups)
    {
        const auto origin = m_scopes.origin(graph, node.input(input), m_found.list);
        if (!origin)
            return tl::unexpected(origin.error());
        if (!*origin)
            return {};
        auto& constant = m_found.list[(*origin)->constant];
        using Layout = OnnxQuantization::Layout;
        const auto layout = constant.quantization ? constant.quantization->layout : Layout::Linear;
        const bool packed = layout == Layout::NBits || layout == Layout::CodeBook;
        const auto rank = packed ? 2 : constant.values.shape.size();
        if ((*origin)->flipped && use == OnnxUse::Columns)
            use = OnnxUse::Rows;
        else if ((*origin)->flipped && use == OnnxUse::Rows)
            use = OnnxUse::Columns;
        else if ((*origin)->flipped)
            return {};
        const bool kernel = use == OnnxUse::Kernel || use == OnnxUse::TransposedKernel;
        const bool fits = use == OnnxUse::Table ? rank == 2 : rank >= (kernel ? 3U : 2U);
        // A table that is the output head as well is looked at as the latter.
        if (!fits || (constant.use != OnnxUse::None && (constant.use != OnnxUse::Table || use == OnnxUse::Table)))
            return {};
        constant.use = use;
        constant.groups = groups;
        constant.node = node.name;
        constant.operatorType = node.type;
        if (constant.role == TensorRole::Other)
            constant.role = role;
        return {};
    }

    Result<void> noteUses(std::size_t graph, const OnnxNode& node)
    {
        for (const auto& row : kWeightOperators) {
            if (!node.is(row.type))
                continue;
            auto use = row.use;
            std::int64_t groups = 1;
            if (use == OnnxUse::Columns || use == OnnxUse::TransposedKernel || node.is("Gather")) {
                const auto number = onnxInteger(m_file, node,
                    use == OnnxUse::Columns                ? "transB"
                        : use == OnnxUse::TransposedKernel ? "group"
                                                           : "axis",
                    use == OnnxUse::TransposedKernel ? 1 : 0);
                if (!number)
                    return tl::unexpected(number.error());
                if (use == OnnxUse::TransposedKernel)
                    groups = *number;
                else if (use == OnnxUse::Columns && *number != 0)
                    use = OnnxUse::Rows;
                else if (node.is("Gather") && (*number != 0 || constant(graph, node, 1)))
                    continue;  // a fixed element, such as an extent of a shape
            }
            if (auto noted = noteUse(graph, node, row.weight, use, row.role, groups); !noted)
                return noted;
            if (node.is("MatMul") && !constant(graph, node, 1))  // W·x
                if (auto noted = noteUse(graph, node, 0, OnnxUse::Rows, row.role, 1); !noted)
                    return noted;
        }
        for (const auto& row : kSideInputs)
            for (auto input = row.first; node.is(row.type) && input <= row.last; ++input)
                noteRole(m_scopes.constant(graph, node.input(input)), row.role);
        if (node.is("Add"))
            for (const std::size_t input : {0U, 1U})
                if (const auto* other = m_scopes.find(graph, node.input(1 - input));
                    other && other->node && other->node->type.starts_with("MatMul"))
                    noteRole(constant(graph, node, input), TensorRole::Bias);
        return {};
    }

    void noteRole(std::optional<std::size_t> constant, TensorRole role)
    {
        if (constant && m_found.list[*constant].use == OnnxUse::None)
            m_found.list[*constant].role = role;
    }

    const WireFile& m_file;
    const OnnxModel& m_model;
    OnnxStorage& m_storage;
    OnnxScopes m_scopes;
    OnnxConstants m_found;
};

}  // namespace

Result<OnnxConstants> findOnnxConstants(const WireFile& file, const OnnxModel& model, OnnxStorage& storage)
{
    return ConstantFinder(file, model, storage).find();
}

}  // namespace quantloupe
