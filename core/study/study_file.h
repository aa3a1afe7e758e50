// SPDX-License-Identifier: GPL-3.0-or-later
// The HDF5 side of a study. Schema, version 1; every dataset is plain and contiguous, with `unit` and `meaning`
// attributes:
//
//     bytes 0–511   user block: a line of text with the checksum of everything behind it (HDF5 begins at byte 512)
//     /             attributes quantloupe_study (1), fingerprint
//     /model        attributes path, format, naming, architecture, synthetic, tied_embeddings, and the figures of the
//                   architecture that are known (hidden_size, layers, …); dataset warnings [W]
//     /model/tensors  one entry per tensor, in file order: name, role, block, expert (−1: none), shared_expert,
//                   expert_stack, fused_group, dtype, rank, shape [T, R], rows, columns, bytes, quantizable
//     /weights      one entry per tensor measured: tensor (index into /model/tensors) and what no scheme changes
//     /results      one entry per tensor and scheme measured: tensor, scheme, its sums and figures. Entries of one
//     tensor
//                   lie together, ordered by scheme.
//     /tensors/<index>  arrays of one tensor measured: weight_histogram, survival, row_absmax, column_absmax,
//     outlier_rows,
//                   outlier_columns; and, a row per scheme in the order of /results: error_histogram, row_error_energy,
//                   column_error_energy
//     /calibration  one group per input of linear layers, numbered from 0: attributes first_layer, texts, tokens, …;
//                   sums and extremes by channel; and, in a group per layer, those of its outputs. Datasets text_name,
//                   text_identity, … : an entry per text. Absent when the model was never run. The large parts lie in
//                   the folder <file>.inputs (core/calibration/input_file.h)
//     /gradients    an entry per linear layer that a backward pass went through: tensor, expert, text, predictions,
//                   columns, outputs, file; and squares, the layers' one behind the other. Absent without any. The
//                   large parts lie in the same folder (core/calibration/gradient_file.h)
//     /recipes      an entry per recipe that was measured whole: recipe (native JSON), text_name, calibration, and what
//     it
//                   does to the text's predictions: kl_mean, kl_standard_error, kl_predictions, kl_text. Absent without
//                   any
//     /recipe       the recipe last edited, as native JSON; absent when there is none
#pragma once

#include "core/study/study.h"

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace quantloupe {

namespace study_schema {

inline constexpr std::uint64_t kVersion = 1;
inline constexpr std::size_t kUserBlock = 512;
/// First bytes of a study file; 32 hexadecimal digits and a line feed follow.
inline constexpr std::string_view kSeal = "Quantloupe study, HDF5 from byte 512 on, whose XXH3-128 is ";

}  // namespace study_schema

/// Writes a whole study to a new file, sealed by its checksum. Not atomic: meant for replaceFileAtomically().
/// Errors: CannotWrite, InvalidArgument (a name that texts padded with zeros cannot hold).
Result<void> writeStudyFile(const std::filesystem::path& path, const StudySnapshot& study);

/// Whether a file begins as studies do, which tells them from models that end in .h5 too. false when it cannot be read.
bool isStudyFile(const std::filesystem::path& path);

/// Errors: CannotOpen, NotThisFormat (not a study), Malformed (damaged, or changed by another program), Unsupported (of
/// a newer version).
Result<StudySnapshot> readStudyFile(const std::filesystem::path& path);

}  // namespace quantloupe
