// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/allocation/allocation.h"
#include "core/projection/projection.h"
#include "core/study/study.h"

#include <string>
#include <variant>
#include <vector>

namespace quantloupe {

/// A cell: text, or a number with the digits to show. Renderers right-align numbers; CSV writes them in full.
struct ReportNumber {
    double value = 0.0;
    int digits = 4;          ///< significant digits in text renderings
    bool operator==(const ReportNumber&) const = default;
};
using ReportCell = std::variant<std::string, ReportNumber>;

struct ReportTable {
    std::string id;                          ///< CSV file stem and HTML anchor
    std::string caption;
    std::vector<std::string> header;         ///< with units
    std::vector<std::vector<ReportCell>> rows;
};

/// A figure as data: which plot class draws it, from what. HTML and PDF draw it; Markdown and CSV give its table.
struct ReportFigure {
    enum class Kind { SizeByRole, WeightRanges, SensitivityMap, TradeOff, MemoryStack, ErrorHistogram, Ranking };
    Kind kind;
    std::string id;
    std::string caption;
    std::string tensor {};   ///< ErrorHistogram only
    std::string scheme {};   ///< ErrorHistogram only
};

struct ReportParagraph {
    std::string text;
};

using ReportBlock = std::variant<ReportParagraph, ReportTable, ReportFigure>;

struct ReportSection {
    std::string id;          ///< "summary", "layers", …: what the dialog's check boxes choose
    std::string title;
    std::vector<ReportBlock> blocks;
};

/// A report as a document; renderers only lay it out.
struct ReportDocument {
    std::string title, author, notes, date;
    std::vector<ReportSection> sections;
};

struct ReportOptions {
    std::string title = {}, author = {}, notes = {};
    std::string date = {};                        ///< ISO 8601; empty: left out, so that reports repeat bit for bit
    std::vector<std::string> sections = {};       ///< ids to include; empty: all
    std::vector<DeviceProfile> devices = {};      ///< for the savings section; none: left out
    Workload workload = {};
};

/// Every section id in order, with its title.
std::vector<std::pair<std::string, std::string>> reportSections();

/// Builds the report from a study alone.
ReportDocument buildReport(const StudySnapshot& study, const ReportOptions& options);

std::string renderMarkdown(const ReportDocument& document);
/// All tables one after another, each preceded by a line with its id; RFC 4180 quoting.
std::string renderCsv(const ReportDocument& document);

}  // namespace quantloupe
