// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/importance_option.h"

#include "core/base/text.h"
#include "core/calibration/calibrated_importance.h"
#include "core/calibration/importance_matches.h"
#include "core/study/study.h"
#include "core/study/study_file.h"

#include <utility>

namespace quantloupe::cli {

namespace {

Result<ImportanceMatrix> importanceOfStudy(const std::string& file, const Model& model)
{
    const auto study = Study::read(file);
    if (!study)
        return tl::unexpected(study.error());
    if ((*study)->model.fingerprint != model.fingerprint)
        return failure(ErrorCode::Conflict, file, "belongs to another model");
    if (!(*study)->calibration.isComplete())
        return failure(ErrorCode::InvalidArgument, file,
            "holds no finished calibration: run quantloupe-cli calibrate with --study first");
    return importanceOf((*study)->calibration, model);
}

}  // namespace

void addImportanceOption(CLI::App& command, std::string& file)
{
    command
        .add_option("--imatrix", file,
            "Importance matrix made by llama.cpp (GGUF or the older .dat), or a calibrated study: errors are weighed\n"
            "by it wherever scales or codes are searched for (mse, pN and entropy ranges, look-up tables, ggml's "
            "blocks)")
        ->type_name("FILE");
}

Result<WeighedModel> weighModel(const Session& session, const std::string& file, const ModelPointer& model)
{
    if (file.empty())
        return WeighedModel {.model = model};
    const bool fromStudy = isStudyFile(file);
    const auto matrix = fromStudy ? importanceOfStudy(file, *model) : readImportanceMatrix(file);
    if (!matrix)
        return tl::unexpected(matrix.error());
    std::vector<std::size_t> tensors;
    for (const auto i : model->quantizableTensors())
        if (session.wants(model->tensors[i].name))
            tensors.push_back(i);
    auto matches = matchImportance(*model, *matrix, tensors);
    Json imatrix = {
        {"path", toValidUtf8(file)},
        {"form",
            fromStudy            ? "study"
                : matrix->legacy ? "dat"
                                 : "gguf"},
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
