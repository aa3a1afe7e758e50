// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/allocation/allocation.h"
#include "core/projection/projection.h"
#include "core/study/study.h"

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace quantloupe {

/// A number with the way text renderings write it. CSV writes it in full, so that nothing is lost there.
struct ReportNumber {
    enum class Notation : std::uint8_t {
        Significant,  ///< `digits` significant digits, plain where that stays readable
        Fixed,        ///< `digits` after the point: a column with aligned decimals
        Scientific,   ///< one digit before and `digits` after the point: a column that spans decades
    };
    double value = 0.0;  ///< NaN: not known
    int digits = 4;
    Notation notation = Notation::Significant;
    bool operator==(const ReportNumber&) const = default;
};
/// A cell: text, or a number. Renderers right-align columns of numbers.
using ReportCell = std::variant<std::string, ReportNumber>;

struct ReportTable {
    std::string id;  ///< CSV heading and HTML anchor, unique in the document
    std::string caption;
    std::vector<std::string> header;  ///< with units
    std::vector<std::vector<ReportCell>> rows;
    bool operator==(const ReportTable&) const = default;
};

/// A figure as data: which plot class draws it, from what. HTML draws it; Markdown and CSV give its table.
struct ReportFigure {
    enum class Kind : std::uint8_t {
        SizeByRole,
        WeightRanges,
        SensitivityMap,
        Ranking,
        RoleBoxes,
        DepthLines,
        ErrorHistogram,
        TradeOff,
        MemoryStack,
        Latency,
        Roofline,
    };
    Kind kind = Kind::SizeByRole;
    std::string id;
    std::string caption;
    std::string tensor {};  ///< ErrorHistogram only
    std::string scheme {};  ///< Ranking, RoleBoxes, DepthLines, ErrorHistogram
    std::string device {};  ///< Latency and Roofline: id of one of the document's devices
    ReportTable data {};    ///< what it draws, as rows; empty where a table beside it says the same
};

struct ReportParagraph {
    std::string text;
};

/// Text to be copied as it stands, e.g. a recipe.
struct ReportCode {
    std::string language;  ///< "json"
    std::string text;      ///< with its final line feed
};

using ReportBlock = std::variant<ReportParagraph, ReportTable, ReportFigure, ReportCode>;

struct ReportSection {
    std::string id;  ///< "summary", "layers", …: what the dialog's check boxes choose
    std::string title;
    std::vector<ReportBlock> blocks;
};

/// A report as a document; renderers only lay it out.
struct ReportDocument {
    std::string title, author, notes, date;
    std::vector<ReportSection> sections;
    /// What the figures of the savings section are drawn from.
    std::optional<Recipe> recipe {};
    std::vector<DeviceProfile> devices {};
    Workload workload {};
};

/// Something worth knowing about the model or its quantization, in plain words.
struct ReportFinding {
    enum class Severity : std::uint8_t { Note, Warning, Problem };
    Severity severity = Severity::Note;
    std::string tensor {};  ///< empty: about the whole model
    std::string text {};
};

/// From the analysis' own scale of severity: 500 and more is broken, otherwise decibels at stake (6 dB: a bit).
ReportFinding reportFinding(std::string tensor, std::string text, double severity);

struct ReportOptions {
    std::string title = {}, author = {}, notes = {};
    std::string date = {};                     ///< ISO 8601; empty: left out, so that reports repeat bit for bit
    std::vector<std::string> sections = {};    ///< ids to include; empty: all
    std::vector<ReportFinding> findings = {};  ///< worst first; an analysis makes them, the report only lists them
    std::optional<Recipe> recipe = {};         ///< absent: the one the study holds
    std::vector<DeviceProfile> devices = {};   ///< for the savings section; none: left out
    Workload workload = {};                    ///< of the recipe; the base keeps a 16-bit KV cache
};

/// Every section id in order, with its title.
std::vector<std::pair<std::string, std::string>> reportSections();

/// Builds the report from a study alone. The same study and options give the same document, bit for bit.
ReportDocument buildReport(const StudySnapshot& study, const ReportOptions& options);

/// GitHub-flavoured Markdown. Text of the study (names, notes) cannot become markup.
std::string renderMarkdown(const ReportDocument& document);
/// All tables one after another, each preceded by a line with its id; RFC 4180 quoting. Texts that a spreadsheet would
/// take for a formula (first character = + - @, tab or carriage return) get a leading apostrophe.
std::string renderCsv(const ReportDocument& document);

}  // namespace quantloupe
