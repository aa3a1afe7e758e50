// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/report/html_figures.h"

#include "widgets/plots/error_histogram_plot.h"
#include "widgets/plots/size_by_role_plot.h"
#include "widgets/plots/study_figures.h"
#include "widgets/plots/weight_range_plot.h"
#include "widgets/report/html_text.h"
#include "widgets/theme/theme.h"

#include <QRegularExpression>
#include <QXmlStreamReader>
#include <QXmlStreamWriter>

#include <algorithm>

using namespace quantloupe;
using html_report_text::tr;

namespace {

constexpr int width = 860;
constexpr std::size_t rankingLength = 20;

/// Reports are drawn light, whatever the window wears.
QByteArray draw(Plot& plot, int height)
{
    plot.setPalette(lightPalette());
    return plot.hasData() ? plot.toSvg({width, height}, PlotColors::Light) : QByteArray();
}

template<class PlotClass, class Data>
QByteArray drawData(Data data, int height)
{
    PlotClass plot;
    plot.setPalette(lightPalette());
    plot.setData(std::move(data));
    return draw(plot, height);
}

const DeviceProfile* findDevice(const ReportDocument& document, const std::string& id)
{
    const auto found = std::find_if(
        document.devices.begin(), document.devices.end(), [&](const DeviceProfile& device) { return device.id == id; });
    return found == document.devices.end() ? nullptr : &*found;
}

std::vector<figures::Scenario> scenarios(
    const ReportDocument& document, const StudySnapshot& study, const DeviceProfile& device)
{
    Workload base = document.workload;
    base.keyValueBits = 16.0;
    std::vector<figures::Scenario> result {{tr(QT_TRANSLATE_NOOP("HtmlReport", "As stored")),
        project(study.model, unquantizedPlan(study.model), device, base)}};
    if (document.recipe)
        result.push_back({tr(QT_TRANSLATE_NOOP("HtmlReport", "Recipe")),
            project(study.model, resolve(*document.recipe, study.model), device, document.workload)});
    return result;
}

QByteArray drawSizes(const ReportDocument& document, const StudySnapshot& study)
{
    SizeByRolePlot plot;
    plot.setPalette(lightPalette());
    plot.setSizes(sizesByRole(study.model,
                      document.recipe ? resolve(*document.recipe, study.model) : unquantizedPlan(study.model)),
        document.recipe.has_value());
    return draw(plot, document.recipe ? 220 : 170);
}

QByteArray drawRanges(const StudySnapshot& study)
{
    WeightRangePlot plot;
    plot.setPalette(lightPalette());
    plot.setRanges(weightRanges(study.model, study));
    return draw(plot, 320);
}

QByteArray drawMap(const ReportDocument& document, const StudySnapshot& study)
{
    std::optional<Plan> plan;
    if (document.recipe)
        plan = resolve(*document.recipe, study.model);
    SensitivityMapData data =
        figures::sensitivityMap(study, ErrorMetric::Sqnr, figures::RowOrder::Depth, plan ? &*plan : nullptr);
    // Rows as high as their figures while the page allows it, else as thin as they must be.
    constexpr int readable = 100;
    const int rows = static_cast<int>(data.rows.size());
    const int height = rows <= readable ? std::max(200, rows * 16 + 70) : std::clamp(rows * 5, 800, 1400);
    return drawData<SensitivityMapPlot>(std::move(data), height);
}

QByteArray drawHistogram(const ReportFigure& figure, const StudySnapshot& study)
{
    const SchemeMeasurement* measurement = study.find(figure.tensor, figure.scheme);
    if (!measurement)
        return {};
    ErrorHistogramPlot plot;
    plot.setPalette(lightPalette());
    plot.setData({QString::fromStdString(figure.scheme), measurement->errorHistogram});
    return draw(plot, 320);
}

QByteArray drawPlot(const ReportFigure& figure, const ReportDocument& document, const StudySnapshot& study)
{
    using Kind = ReportFigure::Kind;
    switch (figure.kind) {
    case Kind::SizeByRole: return drawSizes(document, study);
    case Kind::WeightRanges: return drawRanges(study);
    case Kind::SensitivityMap: return drawMap(document, study);
    case Kind::Ranking:
        return drawData<RankingPlot>(
            figures::ranking(study, ErrorMetric::RelativeError, figure.scheme, rankingLength), 440);
    case Kind::RoleBoxes:
        return drawData<RoleBoxPlot>(figures::roleBoxes(study, ErrorMetric::RelativeError, figure.scheme), 360);
    case Kind::DepthLines:
        return drawData<DepthLinesPlot>(figures::depthLines(study, ErrorMetric::RelativeError, figure.scheme), 360);
    case Kind::ErrorHistogram: return drawHistogram(figure, study);
    case Kind::TradeOff:
        return drawData<TradeOffPlot>(
            figures::tradeOff(tradeOffPicture(study, document.recipe ? &*document.recipe : nullptr)), 460);
    case Kind::MemoryStack:
        // The same bytes on every device: one drawing, with the devices' limits beside each other.
        if (document.devices.empty())
            return {};
        return drawData<MemoryStackPlot>(
            figures::memoryStack(scenarios(document, study, document.devices.front()), document.devices),
            190 + 26 * static_cast<int>(document.devices.size()));
    case Kind::Latency:
        if (const DeviceProfile* device = findDevice(document, figure.device))
            return drawData<LatencyPlot>(figures::latency(scenarios(document, study, *device)), 150);
        return {};
    case Kind::Roofline:
        if (const DeviceProfile* device = findDevice(document, figure.device))
            return drawData<RooflinePlot>(figures::roofline(scenarios(document, study, *device), *device), 380);
        return {};
    }
    return {};
}

/// "url(#a)" and "#a" name ids of the same drawing.
QString prefixed(const QString& name, QString value, const QString& prefix)
{
    if (name == QLatin1String("id"))
        return prefix + value;
    if ((name == QLatin1String("href") || name == QLatin1String("xlink:href")) && value.startsWith(u'#'))
        return u'#' + prefix + value.mid(1);
    static const QRegularExpression reference(QStringLiteral("url\\(#([^)]*)\\)"));
    return value.replace(reference, QStringLiteral("url(#%1\\1)").arg(prefix));
}

}  // namespace

QByteArray inlineSvg(const QByteArray& svg, const QString& idPrefix, const QString& label)
{
    QByteArray result;
    QXmlStreamReader reader(svg);
    reader.setNamespaceProcessing(false);
    QXmlStreamWriter writer(&result);
    bool root = true, inTitle = false;
    while (!reader.atEnd()) {
        switch (reader.readNext()) {
        case QXmlStreamReader::StartElement: {
            const QString name = reader.qualifiedName().toString();
            // The caption says it already; a title would pop up over every point of the drawing.
            inTitle = name == QLatin1String("title") || name == QLatin1String("desc");
            if (inTitle)
                break;
            writer.writeStartElement(name);
            for (const QXmlStreamAttribute& attribute : reader.attributes()) {
                const QString key = attribute.qualifiedName().toString();
                // A fixed size in millimetres; the page decides how wide a figure is.
                if (root && (key == QLatin1String("width") || key == QLatin1String("height")))
                    continue;
                writer.writeAttribute(key, prefixed(key, attribute.value().toString(), idPrefix));
            }
            if (root) {
                writer.writeAttribute(QStringLiteral("role"), QStringLiteral("img"));
                writer.writeAttribute(QStringLiteral("aria-label"), label);
            }
            root = false;
            break;
        }
        case QXmlStreamReader::EndElement:
            if (!inTitle)
                writer.writeEndElement();
            inTitle = false;
            break;
        case QXmlStreamReader::Characters:
            if (!inTitle)
                writer.writeCharacters(reader.text().toString());
            break;
        default: break;
        }
    }
    return reader.hasError() ? QByteArray() : result;
}

QByteArray drawFigure(const ReportFigure& figure, const ReportDocument& document, const StudySnapshot& study)
{
    const QByteArray svg = drawPlot(figure, document, study);
    if (svg.isEmpty())
        return {};
    return inlineSvg(svg, QString::fromStdString(figure.id) + u'-', QString::fromStdString(figure.caption));
}
