// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/catalog.h"

#include "core/base/not_a_number.h"
#include "core/base/text.h"
#include "core/model/parameter_count.h"

namespace quantloupe {

double CatalogTensor::bitsPerWeight() const
{
    return parameters() == 0 ? notANumber : 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters());
}

std::uint64_t ModelCatalog::parameters() const
{
    return countParameters(
        tensors, config.tiedEmbeddings, [](const CatalogTensor& tensor) -> const Shape& { return tensor.shape; });
}

std::uint64_t ModelCatalog::bytes() const
{
    std::uint64_t sum = 0;
    for (const auto& tensor : tensors)
        sum += tensor.bytes;
    return sum;
}

std::optional<std::size_t> ModelCatalog::find(std::string_view name) const
{
    for (std::size_t i = 0; i < tensors.size(); ++i)
        if (tensors[i].name == name)
            return i;
    return std::nullopt;
}

ModelCatalog catalogOf(const Model& model)
{
    ModelCatalog catalog;
    catalog.fingerprint = model.fingerprint;
    catalog.path = toValidUtf8(model.path.string());
    catalog.format = model.format;
    catalog.naming = model.naming;
    catalog.synthetic = model.synthetic;
    catalog.config = model.config;
    catalog.warnings = model.warnings;
    catalog.tensors.reserve(model.tensors.size());
    for (const auto& tensor : model.tensors) {
        catalog.tensors.push_back({
            .name = tensor.name,
            .parts = tensor.parts,
            .dtype = tensor.view.dtype,
            .packing = tensor.packing(),
            .shape = tensor.view.shape,
            .matrix = matrixShape(tensor.view),
            .bytes = tensor.bytes(),
            .quantizable = tensor.quantizable(),
        });
    }
    return catalog;
}

}  // namespace quantloupe
