// SPDX-License-Identifier: GPL-3.0-or-later
// What an ONNX file says, as views into it. Source: interop notes, sections 4.2 to 4.5.
#pragma once

#include "core/file_formats/protobuf_wire.h"
#include "core/tensor/tensor_view.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quantloupe {

/// TensorProto. Its numbers stay on the wire.
struct OnnxTensor {
    std::string_view name;
    std::int64_t type = 0;  ///< TensorProto.DataType
    Shape shape;
    std::optional<Bytes> raw;      ///< raw_data
    std::uint32_t typedField = 0;  ///< number of the field that holds the numbers otherwise (float_data, …); 0: none
    bool external = false;
    std::string_view location {};      ///< of external data: a file below the model's folder
    std::uint64_t externalOffset = 0;  ///< likewise
    std::optional<std::uint64_t> externalLength {};
    Bytes message;
};

/// AttributeProto, unpacked when asked for.
struct OnnxAttribute {
    std::string_view name;
    Bytes message;
};

/// NodeProto.
struct OnnxNode {
    std::string_view name, type, domain;
    std::vector<std::string_view> inputs, outputs;  ///< empty: an optional one left out
    std::vector<OnnxAttribute> attributes;
    Bytes message;

    /// Name of input `i`, empty when there is none.
    std::string_view input(std::size_t i) const { return i < inputs.size() ? inputs[i] : std::string_view(); }
    const OnnxAttribute* find(std::string_view attribute) const;
    /// Of this type, and of ONNX itself or of ONNX Runtime: others may give the same name to something else.
    bool is(std::string_view operatorType) const
    {
        return type == operatorType && (domain.empty() || domain == "ai.onnx" || domain == "com.microsoft");
    }
};

/// GraphProto, or the body of a FunctionProto.
struct OnnxGraph {
    std::optional<std::size_t> parent;  ///< graph whose names can be used in this one
    std::string path;                   ///< "If_3/then_branch" of a graph inside a node; empty for the main one
    std::vector<OnnxTensor> initializers;
    std::vector<OnnxNode> nodes;
};

/// ModelProto.
struct OnnxModel {
    std::int64_t irVersion = 0;
    std::vector<std::pair<std::string, std::string>> metadata;  ///< shortened, for display
    std::vector<OnnxGraph> graphs;                              ///< the main one first, then those inside nodes
    std::size_t sparse = 0;                                     ///< sparse initializers, which are not read
};

/// Reads everything but tensors' numbers. Graphs inside nodes are put on a list, not descended into: no nesting can
/// exhaust the stack. Errors: Truncated, Malformed, Unsupported.
Result<OnnxModel> readOnnxModel(const WireFile& file);

/// One TensorProto: an initializer, or the value of an attribute (which may have no name).
Result<OnnxTensor> readOnnxTensor(const WireFile& file, Bytes message);

/// Values of an attribute; absent ones as `otherwise`. Errors: as readOnnxModel().
Result<std::int64_t> onnxInteger(
    const WireFile& file, const OnnxNode& node, std::string_view attribute, std::int64_t otherwise);
Result<std::vector<std::int64_t>> onnxIntegers(const WireFile& file, const OnnxNode& node, std::string_view attribute);

}  // namespace quantloupe
