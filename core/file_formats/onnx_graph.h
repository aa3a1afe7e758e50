// SPDX-License-Identifier: GPL-3.0-or-later
// What the nodes of a graph do with its constants: which are weights, which way round they lie, which are the scales of
// others. Source: interop notes, sections 4.5, 4.6.
#pragma once

#include "core/file_formats/onnx_values.h"
#include "core/model/tensor_role.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// How a layer multiplies with a constant.
enum class OnnxUse : std::uint8_t {
    None,              ///< it does not
    Table,             ///< rows are looked up
    Rows,              ///< output channels are rows
    Columns,           ///< output channels are columns
    Kernel,            ///< of a convolution
    TransposedKernel,  ///< of a transposed convolution
};

/// What turns the codes in a constant into weights.
struct OnnxQuantization {
    enum class Layout : std::uint8_t {
        Linear,    ///< codes in the shape of the weight; scales for all, per axis or per block along an axis
        NBits,     ///< MatMulNBits: [rows, blocks, bytes], rows are output channels
        Packed,    ///< GatherBlockQuantized over bytes: several codes in each, along the last axis
        CodeBook,  ///< MatMulBnb4
    };
    Layout layout = Layout::Linear;
    std::string_view method {};  ///< "QDQ", or the operator that unpacks
    std::size_t scale = 0;       ///< these two are indices of constants
    std::optional<std::size_t> zeroPoint {};
    std::int64_t axis = 0, blockSize = 0, bits = 0, rows = 0, columns = 0, codeBook = 0;
};

/// One tensor that the file holds.
struct OnnxConstant {
    std::string name;
    OnnxValues values;
    Bytes message {};  ///< of the tensor, for errors
    OnnxUse use = OnnxUse::None;
    std::int64_t groups = 1;                    ///< of a transposed convolution
    TensorRole role = TensorRole::Other;        ///< that its use tells
    std::string_view node {}, operatorType {};  ///< of the layer that uses it
    std::optional<OnnxQuantization> quantization {};
    bool belongsToOther = false;  ///< scales and zero points
};

/// The constants of a model.
struct OnnxConstants {
    std::vector<OnnxConstant> list;
    std::size_t texts = 0;  ///< tensors of text, which are left out
};

/// Finds all constants and follows them through the graphs. Errors: as OnnxStorage::find(), and Malformed (a value that
/// is made twice).
Result<OnnxConstants> findOnnxConstants(const WireFile& file, const OnnxModel& model, OnnxStorage& storage);

}  // namespace quantloupe
