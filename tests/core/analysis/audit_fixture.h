// SPDX-License-Identifier: GPL-3.0-or-later
// Small checkpoints to audit.
#pragma once

#include "core/analysis/audit.h"
#include "tests/support/packed_files.h"

#include <filesystem>
#include <string>
#include <vector>

namespace quantloupe::tests {

inline Result<Audit> auditOf(const ModelPointer& original, const ModelPointer& quantized, AuditOptions options = {})
{
    Progress progress;
    auto found = audit(*original, *quantized, options, {}, progress);
    if (found && progress.totalBytes != progress.doneBytes)
        return failure(ErrorCode::Internal, "progress", "does not end at its total");
    return found;
}

inline const AuditedTensor* find(const Audit& audit, const std::string& original)
{
    for (const auto& tensor : audit.tensors)
        if (tensor.original == original)
            return &tensor;
    return nullptr;
}

struct Matrix {
    std::string name;
    Shape shape;
    std::vector<float> values;
};

inline ModelPointer modelOf(CheckpointFolder& folder, const std::string& name, const std::vector<Matrix>& matrices)
{
    SafetensorsBuilder file;
    for (const auto& matrix : matrices)
        file.add(matrix.name, "F32", matrix.shape, numbers<float>(matrix.values));
    std::filesystem::create_directory(folder.path() / name);
    const auto model = openModel(folder.write(name + "/model.safetensors", file.file()));
    return model ? *model : nullptr;
}

}  // namespace quantloupe::tests
