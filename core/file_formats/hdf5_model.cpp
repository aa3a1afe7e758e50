// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/hdf5_model.h"

#include "core/base/text.h"
#include "core/file_formats/keras_variables.h"
#include "core/file_formats/model_assembly.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace quantloupe {
namespace {

constexpr std::size_t kShownHdf5Text = 200;

/// Elements that the helper reads when they are first asked for.
class Hdf5DatasetBytes final : public DeferredBytes
{
public:
    Hdf5DatasetBytes(Hdf5FilePointer file, const Hdf5Dataset& dataset)
        : DeferredBytes(dataset.bytes)
        , m_file(std::move(file))
        , m_path(dataset.path)
        , m_stored(dataset.stored)
    {
    }

    std::vector<Bytes> storedBytes() const override { return m_stored; }

protected:
    Result<void> produce(const ByteSink& sink, std::stop_token stop) const override
    {
        return m_file->read(m_path, sink, std::move(stop));
    }

    std::string where() const override { return m_file->where() + ", dataset " + inQuotes(m_path); }

private:
    Hdf5FilePointer m_file;
    std::string m_path;
    std::vector<Bytes> m_stored;
};

ModelTensor hdf5TensorOf(const Hdf5FilePointer& file, const Hdf5Dataset& dataset, std::string name)
{
    ModelTensor tensor;
    tensor.name = std::move(name);
    tensor.view = {.dtype = dataset.dtype, .shape = dataset.shape, .owner = file->map()};
    if (dataset.offset) {
        tensor.offset = *dataset.offset;
        tensor.view.bytes = file->map()->bytes().subspan(*dataset.offset, dataset.bytes);
    } else {
        tensor.view.deferred = std::make_shared<Hdf5DatasetBytes>(file, dataset);
    }
    return tensor;
}

const std::string* singleText(const Hdf5Contents& contents, const char* attribute)
{
    const auto found = contents.attributes.find({"", attribute});
    return found != contents.attributes.end() && found->second.size() == 1 ? &found->second[0] : nullptr;
}

void addHdf5Metadata(Model& model, const std::string& key, std::string_view value)
{
    model.metadata.emplace_back(key, shortened(value, kShownHdf5Text));
}

void addKerasTensors(
    Model& model, const Hdf5FilePointer& file, const KerasVariables& found, const std::filesystem::path& folder)
{
    std::map<std::string, std::size_t> times;
    for (const auto& variable : found.variables)
        ++times[variable.fullName()];
    for (const auto& variable : found.variables) {
        auto name = variable.fullName();
        if (times[name] > 1)  // two paths that read the same stay as they are
            name = variable.dataset->path;
        auto tensor = hdf5TensorOf(file, *variable.dataset, std::move(name));
        tensor.parts = partsOfKerasVariable(variable);
        model.tensors.push_back(std::move(tensor));
    }
    // Transformers' checkpoints have their config.json beside them. It says of GPT-2's matrices how they lie, for names
    // with dots; of those of Keras their own names do.
    std::error_code ignored;
    if (std::filesystem::exists(folder / "config.json", ignored))
        applyConfigBeside(model, folder);
    std::size_t depthwise = 0;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        model.tensors[i].view.transposed = false;
        orientKerasVariable(model.tensors[i].view, found.variables[i]);
        depthwise += found.variables[i].name == "depthwise_kernel" ? 1 : 0;
    }
    if (depthwise > 0)
        model.warnings.push_back(std::to_string(depthwise)
            + (depthwise == 1 ? " depthwise kernel is" : " depthwise kernels are")
            + " shown as grouped convolutions, [height, width, 1, channels × multiplier].");
    if (found.leftOut > 0)
        addHdf5Metadata(model, "optimizer variables", std::to_string(found.leftOut) + ", left out");
}

void addPlainDatasets(Model& model, const Hdf5FilePointer& file, const Hdf5Contents& contents)
{
    for (const auto& dataset : contents.datasets) {
        auto dotted = dataset.path;
        std::replace(dotted.begin(), dotted.end(), '/', '.');
        auto tensor = hdf5TensorOf(file, dataset, dataset.path);
        tensor.parts = readName(dotted);
        model.tensors.push_back(std::move(tensor));
    }
    if (contents.others > 0)
        model.warnings.push_back(std::to_string(contents.others)
            + (contents.others == 1 ? " dataset holds no plain numbers and is left out."
                                    : " datasets hold no plain numbers and are left out."));
    if (contents.neverWritten > 0)
        model.warnings.push_back(std::to_string(contents.neverWritten)
            + (contents.neverWritten == 1 ? " dataset was never written and is left out."
                                          : " datasets were never written and are left out."));
}

}  // namespace

Result<Model> readHdf5Model(
    const Hdf5FilePointer& file, const std::filesystem::path& path, const std::stop_token& stop, KerasLayer described)
{
    auto contents = file->contents(stop);
    if (!contents)
        return tl::unexpected(std::move(contents.error()));
    return hdf5ModelOf(*contents, file, path, std::move(described));
}

Result<Model> hdf5ModelOf(
    const Hdf5Contents& contents, const Hdf5FilePointer& file, const std::filesystem::path& path, KerasLayer described)
{
    if (contents.attributes.contains({"", "quantloupe_study"}))
        return failure(ErrorCode::NotThisFormat, file->where(), "a study of Quantloupe, not a model");

    Model model;
    model.format = "hdf5";
    model.files.push_back(path);
    for (const auto* key : {"keras_version", "backend"})
        if (const auto* value = singleText(contents, key))
            addHdf5Metadata(model, key, *value);
    if (const auto* config = singleText(contents, "model_config"); config && described.className.empty()) {
        if (auto parsed = parseKerasConfig(*config, file->where() + ", model_config"))
            described = std::move(*parsed);
        else
            model.warnings.push_back("The model's configuration is left out: " + describe(parsed.error()) + ".");
    }
    auto legacy = legacyKerasVariables(contents, described, file->where());
    if (!legacy)
        return tl::unexpected(std::move(legacy.error()));
    auto variables = *legacy ? std::move(*legacy) : keras3Variables(contents, described);
    if (variables) {
        model.format = "keras";
        model.config.architecture = shortened(described.className, kShownHdf5Text);
        if (!described.name.empty())
            addHdf5Metadata(model, "model name", described.name);
        addKerasTensors(model, file, *variables, path.parent_path());
    } else {
        addPlainDatasets(model, file, contents);
    }
    if (model.tensors.empty())
        return failure(ErrorCode::NotThisFormat, file->where(),
            contents.neverWritten > 0 ? "the numbers of the HDF5 file were never written"
                                      : "the HDF5 file holds no arrays of numbers");
    return model;
}

std::optional<std::uint64_t> findHdf5(Bytes head)
{
    constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
    const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
    for (std::size_t at = 0; at < text.size(); at = at == 0 ? 512 : 2 * at)
        if (text.substr(at).starts_with(kSignature))
            return at;
    return std::nullopt;
}

}  // namespace quantloupe
