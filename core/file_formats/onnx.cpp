// SPDX-License-Identifier: GPL-3.0-or-later
// ONNX: graphs with their constants, inside the file or beside it. Source: interop notes, section 4.
#include "core/base/text.h"
#include "core/file_formats/model_assembly.h"
#include "core/file_formats/onnx_graph.h"
#include "core/file_formats/onnx_weights.h"

#include <algorithm>
#include <set>

namespace quantloupe {
namespace file_formats {
namespace {

/// "1 tensor of text is left out."
void warnOfCount(Model& model, std::size_t count, const std::string& singular, const std::string& plural)
{
    if (count > 0)
        model.warnings.push_back(std::to_string(count) + " " + (count == 1 ? singular : plural) + ".");
}

/// Names that are derived must not meet one that is in the file, or each other.
std::string uniqueName(const OnnxConstant& constant, std::size_t index, std::set<std::string>& taken)
{
    auto name = onnxWeightName(constant, index);
    if (name != constant.name && !taken.insert(name).second)
        name = constant.name;
    return name;
}

Result<void> addTensors(Model& model, const WireFile& wire, const OnnxConstants& constants)
{
    std::set<std::string> taken;
    for (const auto& constant : constants.list)
        taken.insert(constant.name);
    OnnxElements elements(constants.list);
    std::size_t turned = 0;
    for (std::size_t i = 0; i < constants.list.size(); ++i) {
        const auto& constant = constants.list[i];
        if (constant.belongsToOther)
            continue;
        auto view = onnxView(wire, elements, i);
        if (!view)
            return tl::unexpected(std::move(view.error()));
        ModelTensor tensor;
        tensor.name = uniqueName(constant, i, taken);
        if (!isValidUtf8(tensor.name) || tensor.name.find('\0') != std::string::npos)
            return wire.malformed(constant.message, "the name of a tensor is not valid UTF-8 text");
        tensor.parts = onnxNameParts(constant, tensor.name);
        tensor.view = std::move(*view);
        tensor.file = constant.values.file;
        tensor.offset = constant.values.offset;
        // Where a graph cuts a weight up before it is used, only the name tells.
        tensor.auxiliary = constant.use == OnnxUse::None && tensor.name.find("weight") == std::string::npos;
        turned += constant.use == OnnxUse::TransposedKernel ? 1 : 0;
        model.tensors.push_back(std::move(tensor));
    }
    if (!elements.left().empty())
        model.warnings.push_back(
            "Quantized weights are shown as their codes, without their scales, because those are more"
            " than 64 MiB and stored number by number: "
            + listed(elements.left()) + ".");
    warnOfCount(model, turned, "kernel of a transposed convolution is shown with output channels first",
        "kernels of transposed convolutions are shown with output channels first");
    return {};
}

Result<Model> open(const MappedFilePointer& file, const std::stop_token& /*stop*/)
{
    const WireFile wire {file->bytes(), file->path().string()};
    auto read = readOnnxModel(wire);
    if (!read)
        return tl::unexpected(std::move(read.error()));
    OnnxStorage storage(file, wire);
    auto constants = findOnnxConstants(wire, *read, storage);
    if (!constants)
        return tl::unexpected(std::move(constants.error()));

    Model model;
    model.format = "onnx";
    model.naming = NamingWorld::HuggingFace;
    model.operatorsKnown = true;
    model.metadata = std::move(read->metadata);
    model.metadata.emplace_back("ir_version", std::to_string(read->irVersion));
    for (const auto& part : storage.files())
        model.files.push_back(part->path());
    if (auto added = addTensors(model, wire, *constants); !added)
        return tl::unexpected(std::move(added.error()));
    warnOfCount(model, read->sparse, "sparse tensor is left out", "sparse tensors are left out");
    warnOfCount(model, constants->texts, "tensor of text is left out", "tensors of text are left out");
    const auto folder = file->path().parent_path();
    std::error_code ignored;
    if (std::filesystem::exists(folder / "config.json", ignored))
        applyConfigBeside(model, folder);
    return model;
}

/// No magic number: a message that begins with a version (field 1), goes on with the fields of a model before its
/// graph, and has the graph (field 7) or more of the same where the head ends.
bool matches(Bytes head)
{
    constexpr std::uint64_t kNewestVersion = 100;
    std::uint64_t key = 0, value = 0;
    if (!takeVarint(head, key) || key != 0x08 || !takeVarint(head, value) || value < 1 || value > kNewestVersion)
        return false;
    for (std::size_t fields = 0; !head.empty(); ++fields) {
        if (!takeVarint(head, key) || !takeVarint(head, value))
            return fields > 0;
        const auto number = key >> 3U, type = key & 7U;
        const bool text =
            type == 2 && (number == 2 || number == 3 || number == 4 || number == 6 || number == 8 || number == 14);
        const bool version = type == 0 && number == 5;
        if (number == 7 && type == 2)
            return true;
        if (!text && !version)
            return false;
        if (version)
            continue;
        if (value >= head.size())
            return true;
        head = head.subspan(value);
    }
    return false;
}

}  // namespace

extern const FileFormat onnx;
const FileFormat onnx {"onnx", "ONNX", "onnx", matches, open};

}  // namespace file_formats
}  // namespace quantloupe
