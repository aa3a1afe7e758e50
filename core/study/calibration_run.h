// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/calibration/gathered_input.h"
#include "core/study/study.h"

#include <cstdint>
#include <filesystem>
#include <set>
#include <stop_token>
#include <string>

namespace quantloupe {

/// The folder beside a study that holds the large parts of a calibration.
std::filesystem::path inputFolderOf(const std::filesystem::path& study);

/// A calibration on its way into a study: what is there already, where it goes on, and what each finished input adds.
/// One at a time for a study.
class CalibrationRun
{
public:
    enum class Kind : std::uint8_t {
        First,         ///< nothing was known
        Added,         ///< comes to what other texts taught
        Continued,     ///< an interrupted run on the same text goes on
        AlreadyThere,  ///< the study has learnt from this text: there is nothing to do
    };

    /// `fresh` forgets what the study knows from texts. Errors: Conflict (a run on another text was not finished, or
    /// the others were gathered with or without moments unlike this one), CannotWrite.
    static Result<CalibrationRun> begin(Study& study, CalibrationText text, bool fresh);

    Kind kind() const { return m_kind; }
    /// Tokens of the texts before this one.
    std::uint64_t firstNumber() const { return m_firstNumber; }
    /// Keys of the inputs that have this text in them.
    std::set<std::string> known() const;
    /// Where the residual stream is kept while the run lasts.
    std::filesystem::path streamFile() const { return m_folder / "stream"; }
    /// Whose stream it is.
    std::string streamIdentity() const;

    /// Adds an input to what was known of it: what is known now. Durable when it returns.
    /// Errors: CannotWrite, Cancelled, Conflict (of other widths than before), those of InputFile::open().
    Result<InputFigures> keep(GatheredInput gathered, std::size_t sampleTokens, const std::stop_token& stop);
    /// All inputs are in.
    Result<void> finish();

private:
    CalibrationRun(Study& study, std::filesystem::path folder);
    void removeUnnamedFiles() const;

    Study* m_study;
    std::filesystem::path m_folder;
    Kind m_kind = Kind::First;
    std::uint64_t m_firstNumber = 0;
    std::vector<CalibrationText> m_texts;  ///< with this one
};

}  // namespace quantloupe
