// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/importance_option.h"

#include "core/base/text.h"
#include "core/calibration/importance_matches.h"

#include <utility>

namespace quantloupe::cli {

void addImportanceOption(CLI::App& command, std::string& file)
{
    command
        .add_option("--imatrix", file,
            "Importance matrix made by llama.cpp (GGUF or the older .dat): errors are weighed by it wherever scales\n"
            "or codes are searched for (mse, pN and entropy ranges, look-up tables, ggml's blocks)")
        ->type_name("FILE");
}

Result<WeighedModel> weighModel(const Session& session, const std::string& file, const ModelPointer& model)
{
    if (file.empty())
        return WeighedModel {.model = model};
    const auto matrix = readImportanceMatrix(file);
    if (!matrix)
        return tl::unexpected(matrix.error());
    std::vector<std::size_t> tensors;
    for (const auto i : model->quantizableTensors())
        if (session.wants(model->tensors[i].name))
            tensors.push_back(i);
    auto matches = matchImportance(*model, *matrix, tensors);
    Json imatrix = {
        {"path", toValidUtf8(file)},
        {"form", matrix->legacy ? "dat" : "gguf"},
        {"datasets", matrix->datasets},
        {"chunks", orNull(matrix->chunks)},
        {"chunk_size", orNull(matrix->chunkSize)},
        {"entries", matrix->entries.size()},
        {"tensors", matches.weighed},
    };
    return WeighedModel {.model = std::make_shared<const Model>(std::move(matches.model)),
        .imatrix = std::move(imatrix),
        .warnings = std::move(matches.warnings)};
}

}  // namespace quantloupe::cli
