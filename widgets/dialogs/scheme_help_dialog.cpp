// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/scheme_help_dialog.h"

#include "core/analysis/analyze.h"

#include <QDialogButtonBox>
#include <QTextBrowser>
#include <QVBoxLayout>

SchemeHelpDialog::SchemeHelpDialog(QWidget* parent)
    : QDialog(parent)
{
    setWindowTitle(tr("Scheme notation"));
    QStringList formats;
    for (const auto format : quantloupe::allFormats())
        if (quantloupe::requireBuilt(quantloupe::Scheme::of(format)))
            formats << QStringLiteral("<code>%1</code>").arg(QString::fromStdString(std::string(nameOf(format))));
    const auto row = [](const QString& part, const QString& words, const QString& meaning) {
        return QStringLiteral("<tr><td><b>%1</b></td><td>%2</td><td>%3</td></tr>").arg(part, words, meaning);
    };
    auto* text = new QTextBrowser;
    text->setHtml(
        tr("<p>One line names a scheme everywhere: in cells, recipes, studies and on the command line. Parts follow in "
           "this order, separated by colons; what is left out has its default.</p>")
        + QStringLiteral("<table cellspacing=\"8\">")
        + row(tr("format"), formats.join(QStringLiteral(", ")), tr("the numbers that weights become"))
        + row(tr("granularity"), QStringLiteral("<code>tensor</code>, <code>channel</code>, <code>g128</code>"),
            tr("which weights share a scale; gN: N weights along the input"))
        + row(tr("symmetry"),
            QStringLiteral("<code>sym</code>, <code>symf</code>, <code>asym</code>, <code>asymf</code>"),
            tr("restricted or full range about zero, integer zero point, floating minimum"))
        + row(tr("range"), QStringLiteral("<code>minmax</code>, <code>p99.9</code>, <code>mse</code>"),
            tr("how the range of a scale is chosen"))
        + row(tr("scale"), QStringLiteral("<code>s16</code>, <code>s32</code>"),
            tr("how scales are stored; counted in every size"))
        + QStringLiteral("</table>")
        + tr("<p><code>int8</code> means <code>int8:channel:sym:minmax:s16</code>; <code>int4</code> and below mean "
             "<code>g128</code>. <code>int4:g32:asym:mse</code> is 4 bits, 32 weights to a scale, an integer zero "
             "point, and "
             "ranges that give the least squared error.</p>"
             "<p>In recipes, <code>*</code> stands for any run of characters, dots included; what is kept stays as "
             "stored, and "
             "the last rule that matches wins.</p>"));
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(text);
    layout->addWidget(buttons);
    resize(640, 460);
}
