// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/known_inputs.h"

#include "core/base/hash.h"
#include "core/study/stored_curvature.h"
#include "core/study/stored_layer_inputs.h"

#include <algorithm>
#include <span>
#include <string>

namespace quantloupe {
namespace {

/// Which texts' gradients are known of the layers that a tensor holds; empty: none.
std::string gradientsOf(const ModelCalibration& calibration, const std::string& tensor)
{
    std::string all;
    for (auto at = calibration.gradients.lower_bound({tensor, std::nullopt});
         at != calibration.gradients.end() && at->first.tensor == tensor; ++at)
        all += at->second->text.identity + "g";
    return all;
}

/// The same for the same texts, read the same way; never 0.
std::uint64_t fingerprintOf(const ModelCalibration& calibration, const std::string& gradients)
{
    std::string all;
    for (const auto& text : calibration.texts)
        all += text.identity + (text.moments ? "+" : "-");
    all += gradients;
    return std::max<std::uint64_t>(1, checksum64(std::as_bytes(std::span(all))));
}

/// How many layers with inputs of their own a tensor holds; 0: none that was seen.
std::uint64_t slicesOf(const ModelCalibration& calibration, const ModelTensor& tensor)
{
    if (calibration.find(tensor.name) != nullptr)
        return 1;
    if (tensor.view.shape.size() != 3)
        return 0;
    const auto experts = tensor.view.shape.front();
    for (std::uint32_t expert = 0; expert < experts; ++expert)
        if (calibration.find(tensor.name, expert) != nullptr)
            return experts;
    return 0;
}

}  // namespace

Model withKnownInputs(const Model& model, const StudyPointer& study, const std::filesystem::path& path)
{
    auto known = model;
    for (auto& tensor : known.tensors)
        tensor.inputs.reset();  // what an earlier calibration knew
    const auto& calibration = study->calibration;
    if (!calibration.isComplete())
        return known;
    const auto stored = std::make_shared<const StoredLayerInputs>(study, path);
    for (auto& tensor : known.tensors) {
        const auto slices = slicesOf(calibration, tensor);
        if (slices == 0)
            continue;
        const bool stack = calibration.find(tensor.name) == nullptr;
        const auto columns = static_cast<std::size_t>(matrixShape(tensor.view).columns);
        auto load = [stored, stack, columns, name = tensor.name](std::uint64_t slice,
                        const std::stop_token& stop) -> Result<std::shared_ptr<const LayerInputs>> {
            const auto expert = stack ? std::optional(static_cast<std::uint32_t>(slice)) : std::nullopt;
            if (stored->has(name, expert))
                return stored->load(name, expert, stop);
            return std::make_shared<const LayerInputs>(LayerInputs {.columns = columns});  // no token was routed to it
        };
        const auto gradients = gradientsOf(calibration, tensor.name);
        KnownInputs inputs {
            .fingerprint = fingerprintOf(calibration, gradients), .slices = slices, .load = std::move(load)};
        if (!gradients.empty())
            inputs.loadCurvature = [study, path, stack, name = tensor.name](
                                       std::uint64_t slice, const std::stop_token& stop) {
                const auto expert = stack ? std::optional(static_cast<std::uint32_t>(slice)) : std::nullopt;
                return loadCurvature(*study, path, {name, expert}, stop);
            };
        tensor.inputs = std::make_shared<const KnownInputs>(std::move(inputs));
    }
    return known;
}

}  // namespace quantloupe
